# Compiler settings for the whole tree: warnings are errors, sanitizers by GODWIT_SANITIZE.

# g++ 12 miscompiles coroutines and lacks parts of C++23; clang-19 is what the project is built and tested with.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "Godwit is built with clang 19 or newer; found ${CMAKE_CXX_COMPILER_ID} "
                      "${CMAKE_CXX_COMPILER_VERSION}. Use the presets: cmake --preset release")
endif()

set(GODWIT_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (empty: none)")

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor
                    # Fields left out take the default that their declaration gives them.
                    -Wno-missing-designated-field-initializers -fno-omit-frame-pointer)
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
add_link_options(-fuse-ld=lld)
if(GODWIT_SANITIZE)
  # Not optimised: compiling the tests takes longer than running them.
  add_compile_options(-O0 -fsanitize=${GODWIT_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${GODWIT_SANITIZE})
else()
  # Programs are copied into node images with another libstdc++: bring our own along.
  add_link_options(-static-libstdc++ -static-libgcc)
endif()

option(GODWIT_PRECOMPILED "Parse standard and third-party headers once for all sources" ON)
if(GODWIT_PRECOMPILED)
  include(Precompiled)
  godwit_precompile()
endif()

# Messages and ccache see paths below the source folder, so that another clone finds what this one compiled.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)

find_program(CCACHE ccache)
if(CCACHE)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
               CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
