# Third-party libraries, all from Debian packages (tools/setup.sh installs them). Static where Debian has the archive,
# because the programs are copied into node images; libmnl (LGPL) stays shared, and libcurl and libarchive, whose archives
# need a dozen other libraries, some of which have none.

find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
set(OPENSSL_USE_STATIC_LIBS TRUE)
find_package(OpenSSL 3.0 REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(CURL REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(MNL REQUIRED IMPORTED_TARGET libmnl)
pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive)

function(godwit_static_library target archive)
  find_library(${target}_ARCHIVE ${archive} REQUIRED)
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE ${${target}_ARCHIVE})
endfunction()
godwit_static_library(lz4_static liblz4.a)
godwit_static_library(zstd_static libzstd.a)
godwit_static_library(xxhash_static libxxhash.a)
godwit_static_library(yaml_static libyaml-cpp.a)
godwit_static_library(event_static libevent.a)
godwit_static_library(event_openssl_static libevent_openssl.a)

# godwit_keep_openssl_apart(ROOM): for rooms on the shared libcurl, which brings the shared OpenSSL along. A program that
# also holds the static one must not offer its symbols to the shared libraries, or libcurl would use half of each.
function(godwit_keep_openssl_apart room)
  target_link_options(godwit_${room} INTERFACE LINKER:--exclude-libs,libssl.a:libcrypto.a
                                               LINKER:--allow-shlib-undefined)
endfunction()

# fmt compiled once: Debian has no archive of it, and its header-only form doubles the time that a source takes.
add_library(fmt_static STATIC ${CMAKE_SOURCE_DIR}/cmake/fmt.cpp)
get_target_property(fmt_headers fmt::fmt-header-only INTERFACE_INCLUDE_DIRECTORIES)
target_include_directories(fmt_static SYSTEM PUBLIC ${fmt_headers})
