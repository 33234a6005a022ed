// Net addresses: which hosts only this machine can reach.
#pragma once

#include <string_view>

namespace millrace {

// "localhost", "127.a.b.c", "::1", "[::1]"; nothing that only looks like it, such as "127.example.org".
bool is_loopback_host(std::string_view host);

}  // namespace millrace
