// Console: where a command writes, and what is known about the other end.
//
// Promises: what is given to out() and err() is written whole, in order. Threads: one at a time, except err() which any
// thread may call. Fails: out() answers false once nobody reads any more; err() never.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/io/config.h"

namespace millrace {

struct Console {
  struct Size {
    int columns = 80;
    int rows = 24;
  };
  std::function<bool(std::string_view)> out;  // standard output: the result, nothing else
  std::function<void(std::string_view)> err;  // standard error: progress, notes, complaints
  std::function<Size()> size = [] { return Size{}; };
  // Shows the text and reads a line; "" at the end of input. Empty: nobody is there to be asked.
  std::function<std::string(std::string_view)> ask = {};
  bool out_terminal = false;
  bool err_terminal = false;
  bool colour = false;  // NO_COLOR is not set and the terminal is not dumb; ask the *_terminal flags as well

  void note(std::string_view text) const { err("note: " + std::string(text) + "\n"); }
};

// Of this process. SIGPIPE ends it no longer from then on.
Console process_console(const Environment& environment);

// ANSI colours by what they mean here.
enum class Tint { kNone, kGood, kBad, kBusy, kQuiet, kStrong };
std::string tinted(std::string_view text, Tint tint, bool colour);

}  // namespace millrace
