// A store as it was written down by tests/data/record_store: loaded into a private Redis.
//
// Threads: one. Fails: load_store() answers what went wrong; empty: nothing did. Header-only.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace millrace::test {

inline std::string unescaped(const std::string& word) {
  std::string bytes;
  if (word == "%") return bytes;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '%') {
      bytes.push_back(word[i]);
      continue;
    }
    bytes.push_back(static_cast<char>(std::stoi(word.substr(i + 1, 2), nullptr, 16)));
    i += 2;
  }
  return bytes;
}

inline std::string load_store(const std::string& file, const std::string& socket_path) {
  std::ifstream in(file);
  if (!in) return "cannot read " + file;
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return "cannot connect to " + socket_path;
  }
  std::string failure;
  std::string line;
  while (failure.empty() && std::getline(in, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string command;
    std::size_t count = 0;
    for (std::string word; words >> word; ++count) {
      const std::string bytes = unescaped(word);
      command += "$" + std::to_string(bytes.size()) + "\r\n" + bytes + "\r\n";
    }
    command = "*" + std::to_string(count) + "\r\n" + command;
    for (std::size_t sent = 0; sent < command.size();) {
      const ssize_t some = write(fd, command.data() + sent, command.size() - sent);
      if (some <= 0) break;
      sent += static_cast<std::size_t>(some);
    }
    std::string reply;
    for (char c = 0; !reply.ends_with("\r\n") && read(fd, &c, 1) == 1; reply.push_back(c)) {}
    if (!reply.empty() && reply[0] == '$') {  // an id of a stream: its line follows
      for (char c = 0; c != '\n' && read(fd, &c, 1) == 1;) {}
    }
    if (reply.empty() || reply[0] == '-') failure = line.substr(0, 60) + ": " + reply;
  }
  close(fd);
  return failure;
}

}  // namespace millrace::test
