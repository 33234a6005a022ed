// RedisServer: a private redis-server for one test, on a unix socket in a directory of its own.
//
// Promises: never touches another server; the process and the directory are gone when the object is. Header-only.
// Threads: one at a time. Fails: start() returns false and error() says why (no redis-server in PATH, no answer in 10
// s).
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace millrace::test {

enum class Append { kNo, kEverysec, kAlways };

class RedisServer {
 public:
  explicit RedisServer(Append append = Append::kNo, std::vector<std::string> more = {})
      : append_(append), more_(std::move(more)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "mr-redis-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) directory_ = pattern;
  }
  ~RedisServer() {
    kill_now();
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  // Starts it, or starts it again on the data that kill_now() or stop() left. True once it answers.
  bool start() {
    if (pid_ > 0) return true;
    std::error_code ignored;
    std::filesystem::remove(path(), ignored);
    const std::vector<std::string> arguments = command_line();
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const std::string log = directory_ + "/log";
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that crashes leaves no server behind
      if (getppid() != parent) _exit(127);
      const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(out, 1);
      dup2(out, 2);
      execvp(argv[0], argv.data());
      _exit(127);
    }
    return wait_until_it_answers();
  }

  void stop() { end(SIGTERM); }      // in order: saves what its mode saves
  void kill_now() { end(SIGKILL); }  // as a crash does
  void pause() {
    if (pid_ > 0) kill(pid_, SIGSTOP);
  }
  void resume() {
    if (pid_ > 0) kill(pid_, SIGCONT);
  }

  std::string path() const { return directory_ + "/redis.sock"; }
  std::string url() const { return "unix://" + path(); }
  const std::string& directory() const { return directory_; }
  pid_t pid() const { return pid_; }
  const std::string& error() const { return error_; }

 private:
  std::vector<std::string> command_line() const {
    std::vector<std::string> words = {"redis-server",
                                      "--port",
                                      "0",
                                      "--unixsocket",
                                      path(),
                                      "--dir",
                                      directory_,
                                      "--save",
                                      "",
                                      "--daemonize",
                                      "no",
                                      "--appendonly",
                                      append_ == Append::kNo ? "no" : "yes"};
    if (append_ != Append::kNo) {
      words.insert(words.end(), {"--appendfsync", append_ == Append::kAlways ? "always" : "everysec"});
    }
    words.insert(words.end(), more_.begin(), more_.end());
    return words;
  }

  bool wait_until_it_answers() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;
        error_ = "redis-server ended at once: " + read_log();
        return false;
      }
      if (answers()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    error_ = "redis-server did not answer: " + read_log();
    kill_now();
    return false;
  }

  // Any answer to PING but "loading" will do: a server with a password refuses it, and is ready.
  bool answers() const {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
    char reply[256] = {};
    const timeval patience{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const bool answered = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                          send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, reply, sizeof reply - 1, 0) > 0 &&
                          std::strstr(reply, "LOADING") == nullptr;
    close(fd);
    return answered;
  }

  std::string read_log() const {
    std::ifstream in(directory_ + "/log");
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  void end(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    kill(pid_, SIGCONT);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  Append append_;
  std::vector<std::string> more_;
  std::string directory_;
  std::string error_;
  pid_t pid_ = -1;
};

}  // namespace millrace::test
