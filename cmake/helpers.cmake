# One folder is one library: every .cc in it except main.cc. A folder without a .cc becomes an interface library.
#   millrace_library(NAME [DEPS lib...])
function(millrace_library name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "main\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC ${ARG_DEPS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

# A program from one main file and the libraries it joins.
#   millrace_program(NAME MAIN DEPS lib...)
function(millrace_program name main)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${main})
    add_executable(${name} ${main})
    millrace_allocator(${name})
    target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  endif()
endfunction()

# First of all libraries, so that its malloc is the one that all others find; nothing names it, hence --no-as-needed.
function(millrace_allocator name)
  if(MILLRACE_MIMALLOC)
    target_link_libraries(${name} PRIVATE -Wl,--push-state,--no-as-needed ${MIMALLOC_LIBRARY} -Wl,--pop-state)
  endif()
endfunction()

# The bytes of a file as a C++ constant: generated/<header> defines `inline constexpr char <symbol>[]`.
# Raw string literals are limited to 64 KiB by some compilers, so the text is split into pieces.
function(millrace_embed file header symbol)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  string(REGEX REPLACE "(\r?\n)" "\\1" text "${text}")
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/${header}
       CONTENT "#pragma once\ninline constexpr char ${symbol}[] = R\"millrace_embed(${text})millrace_embed\";\n")
endfunction()
