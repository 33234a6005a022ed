// Scratch: one protobuf message in memory that its thread keeps for the purpose, so that coding small messages does not
// go to the heap. What is larger than the kept block is given back at the end.
#pragma once

#include <limits>
#include <string>
#include <string_view>

#include "google/protobuf/arena.h"

namespace millrace {

namespace scratch {
google::protobuf::Arena& enter();  // of this thread; may nest
void leave();                      // the outermost one empties it
}  // namespace scratch

template <class Message>
class Scratch {
 public:
  Scratch() : message_(google::protobuf::Arena::CreateMessage<Message>(&scratch::enter())) {}
  ~Scratch() { scratch::leave(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  Message* operator->() { return message_; }
  Message& operator*() { return *message_; }

  bool parse(std::string_view bytes) {
    return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()) &&
           message_->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string serialize() const { return message_->SerializeAsString(); }

 private:
  Message* message_;
};

}  // namespace millrace
