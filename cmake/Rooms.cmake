# A room is a folder of src/: one static library `godwit_<room>` made of its *.cpp files, and one test program
# `<room>_test` made of its *_test.cpp files. Files are found by name, so that adding one needs no edit here.

include(GoogleTest)
# All that needs no root; what the sanitizer builds are for.
add_custom_target(unit_tests)
# All that is not a test or a benchmark.
add_custom_target(programs)

# godwit_room(NAME [DEPS room...] [LIBS library...]): DEPS are other rooms, LIBS third-party targets.
function(godwit_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;LIBS" ${ARGN})
  set(dir ${CMAKE_SOURCE_DIR}/src/${name})
  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.cpp)
  file(GLOB tests CONFIGURE_DEPENDS ${dir}/*_test.cpp)
  list(REMOVE_ITEM sources ${tests} "")
  list(TRANSFORM ROOM_DEPS PREPEND godwit_)
  if(sources)
    add_library(godwit_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(godwit_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(godwit_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(godwit_${name} ${scope} ${ROOM_DEPS} ${ROOM_LIBS})
  if(tests)
    godwit_test(${name}_test SOURCES ${tests} DEPS ${name} LABELS unit)
  endif()
endfunction()

# godwit_test(NAME SOURCES file... DEPS room... [LABELS label...] [TIMEOUT seconds]): a GoogleTest program.
function(godwit_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  list(TRANSFORM TEST_DEPS PREPEND godwit_)
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_DEPS} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}." PROPERTIES TIMEOUT ${TEST_TIMEOUT})
  if(unit IN_LIST TEST_LABELS)
    add_dependencies(unit_tests ${name})
  endif()
  # gtest_discover_tests() would make several labels into one, so they are set when it has written its list.
  set(labels_file ${CMAKE_CURRENT_BINARY_DIR}/${name}_labels.cmake)
  file(WRITE ${labels_file} "foreach(test IN LISTS ${name}_TESTS)
  set_tests_properties(\"\${test}\" PROPERTIES LABELS \"${TEST_LABELS}\")
endforeach()
")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${labels_file})
endfunction()

# godwit_program(NAME SOURCES file... DEPS room...): an executable in build/<preset>/bin.
function(godwit_program name)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;DEPS" ${ARGN})
  list(TRANSFORM PROGRAM_DEPS PREPEND godwit_)
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE ${PROGRAM_DEPS})
  add_dependencies(programs ${name})
endfunction()
