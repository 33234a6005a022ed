# Every outside library, found once. Packages are Debian's; `./dev setup` installs them by name.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Protobuf REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(simdjson REQUIRED)
find_package(Boost 1.81 REQUIRED)  # headers: Beast and Asio
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(HIREDIS REQUIRED IMPORTED_TARGET hiredis)
pkg_check_modules(PROMETHEUS REQUIRED IMPORTED_TARGET prometheus-cpp-core)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

# The programs that are measured allocate millions of small objects a second, made on one thread and freed on another
# (ZeroMQ's): mimalloc does that in a fifth of the instructions of the C library's. Sanitizers bring their own.
option(MILLRACE_MIMALLOC "link the programs with mimalloc" ON)
if(MILLRACE_MIMALLOC)
  find_library(MIMALLOC_LIBRARY mimalloc REQUIRED)
endif()

if(MILLRACE_BENCH)
  find_package(benchmark REQUIRED)
endif()
