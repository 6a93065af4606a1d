# Standard and third-party headers, parsed once for a whole build. `make lint` reads the sources without, so that one which
# forgets an #include is found.
#
# The file lies in the cache folder, named after what it is made from: ccache knows a source by the path of what it
# includes, and another clone shall find what this one compiled.

# godwit_precompile(): compiles cmake/precompiled.h with the options that are set so far, and has all sources include it.
function(godwit_precompile)
  get_directory_property(options DIRECTORY ${CMAKE_SOURCE_DIR} COMPILE_OPTIONS)
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -std=c++23 ${flags} ${options} -x c++-header -E -P
                          ${CMAKE_SOURCE_DIR}/cmake/precompiled.h
                  OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  string(SHA256 hash "${text} ${flags} ${options} ${CMAKE_CXX_COMPILER_VERSION}")
  string(SUBSTRING ${hash} 0 16 hash)

  set(folder $ENV{GODWIT_CACHE})
  if(NOT folder)
    set(folder /var/cache/godwit)
  endif()
  string(APPEND folder /precompiled)
  execute_process(COMMAND mkdir -p ${folder} RESULT_VARIABLE failed ERROR_QUIET)
  if(failed)
    set(folder ${CMAKE_BINARY_DIR})
  endif()
  # Those of earlier versions. What a build folder still uses comes back when it is missing.
  execute_process(COMMAND find ${folder} -maxdepth 1 -name "*.pch*" -mtime +60 -delete)

  # clang looks for the header where it was: beside the file, because the clone that made it may be gone or changed.
  set(precompiled ${folder}/${hash}.pch)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -std=c++23 ${flags} ${options} -include-pch ${precompiled} -fsyntax-only
                          -x c++ /dev/null RESULT_VARIABLE unusable OUTPUT_QUIET ERROR_QUIET)
  if(unusable)
    # Under another name until it is whole: two clones may be configured at once.
    string(RANDOM LENGTH 8 suffix)
    configure_file(${CMAKE_SOURCE_DIR}/cmake/precompiled.h ${folder}/${hash}.h COPYONLY)
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} -std=c++23 ${flags} ${options} -x c++-header ${folder}/${hash}.h
                            -fpch-instantiate-templates -Xclang -fno-pch-timestamp -o ${precompiled}.${suffix}
                    COMMAND_ERROR_IS_FATAL ANY)
    file(RENAME ${precompiled}.${suffix} ${precompiled})
  endif()
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${precompiled})
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include-pch ${precompiled}>")
endfunction()
