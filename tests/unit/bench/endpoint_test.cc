#include "bench/endpoint.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <thread>

#include "bench/pool.h"

namespace millrace::bench {
namespace {

int connect_to(const std::string& url) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string ask(int fd) {
  const std::string request = "GET /result HTTP/1.1\r\nHost: here\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::array<char, 4096> bytes;
  const ssize_t got = read(fd, bytes.data(), bytes.size());
  return got > 0 ? std::string(bytes.data(), static_cast<std::size_t>(got)) : "";
}

TEST(Endpoint, AGetIsAnsweredWithTheTextAndAPostWithAStreamOfIt) {
  auto endpoint = Endpoint::start("42");
  ASSERT_TRUE(endpoint.ok()) << endpoint.error().what;
  const std::string url = (*endpoint)->url();
  EXPECT_TRUE(run_pool({"curl", "-sS", url + "/"}, "42", 2).ok());
  const auto streamed = run_pool({"sh", "-c", "curl -sS -d {} " + url + "/ | grep -c ^data:"}, "4", 1);
  EXPECT_TRUE(streamed.ok()) << streamed.error().what;
}

TEST(Endpoint, AnswersEveryRequestOfAConnection) {
  auto endpoint = Endpoint::start("42");
  ASSERT_TRUE(endpoint.ok());
  const int client = connect_to((*endpoint)->url());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ask(client).ends_with("\r\n\r\n42"));
  close(client);
}

// A program that is being started has copies of all that is open until its exec: what is closed meanwhile is open
// there.
TEST(Endpoint, AConnectionThatAStartingProgramHasACopyOfIsClosedOnce) {
  auto endpoint = Endpoint::start("42");
  ASSERT_TRUE(endpoint.ok());
  const int client = connect_to((*endpoint)->url());
  ASSERT_NE(ask(client), "");
  const pid_t starting = fork();
  if (starting == 0) {
    close(client);
    pause();
    _exit(0);
  }
  close(client);
  // Until the endpoint has closed its end, nothing new gets its number; then the pipes get it, and keep it.
  std::array<std::array<int, 2>, 64> pipes{};
  for (auto& ends : pipes) {
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (const auto& ends : pipes) {
    for (int fd : ends) EXPECT_NE(fcntl(fd, F_GETFD), -1) << "somebody else has closed " << fd;
    for (int fd : ends) close(fd);
  }
  kill(starting, SIGKILL);
  waitpid(starting, nullptr, 0);
}

}  // namespace
}  // namespace millrace::bench
