#include "cli/console.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iostream>

namespace millrace {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {  // somebody shares the descriptor and made it non-blocking
      pollfd wait{fd, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Console::Size terminal_size() {
  winsize size{};
  for (int fd : {STDERR_FILENO, STDOUT_FILENO}) {
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) return {size.ws_col, size.ws_row};
  }
  return {};
}

const char* code_of(Tint tint) {
  switch (tint) {
    case Tint::kNone: return "";
    case Tint::kGood: return "\x1b[32m";
    case Tint::kBad: return "\x1b[31m";
    case Tint::kBusy: return "\x1b[36m";
    case Tint::kQuiet: return "\x1b[2m";
    case Tint::kStrong: return "\x1b[1m";
  }
  return "";
}

}  // namespace

Console process_console(const Environment& environment) {
  std::signal(SIGPIPE, [](int) {});  // not SIG_IGN: that one would be inherited by the tasks of an embedded worker
  const char* no_colour = environment("NO_COLOR");
  const char* term = environment("TERM");
  bool dumb = term == nullptr || std::string_view(term) == "dumb" || std::string_view(term).empty();
  Console console;
  console.out = [](std::string_view text) { return write_all(STDOUT_FILENO, text); };
  console.err = [](std::string_view text) { write_all(STDERR_FILENO, text); };
  console.size = terminal_size;
  if (::isatty(STDIN_FILENO) == 1) {
    console.ask = [](std::string_view text) {
      write_all(STDERR_FILENO, text);
      std::string line;
      std::getline(std::cin, line);
      return line;
    };
  }
  console.out_terminal = ::isatty(STDOUT_FILENO) == 1;
  console.err_terminal = ::isatty(STDERR_FILENO) == 1 && !dumb;
  console.colour = (no_colour == nullptr || *no_colour == '\0') && !dumb;
  return console;
}

std::string tinted(std::string_view text, Tint tint, bool colour) {
  if (!colour || tint == Tint::kNone) return std::string(text);
  return code_of(tint) + std::string(text) + "\x1b[0m";
}

}  // namespace millrace
