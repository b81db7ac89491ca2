# One static library a folder. DEPENDS is the folder's allowed list of our own folders: a folder whose
# headers it does not link cannot be included (tools/check_layers.py holds the same rule for the text).

add_library(espalier_options INTERFACE)
target_compile_features(espalier_options INTERFACE cxx_std_20)
# Contracting a*b+c into one rounding would make results depend on the ISA.
target_compile_options(espalier_options INTERFACE -Wall -Wextra -Werror -ffp-contract=off
                       -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(ESPALIER_SANITIZE)
  target_compile_options(espalier_options INTERFACE -fsanitize=${ESPALIER_SANITIZE}
                         -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(espalier_options INTERFACE -fsanitize=${ESPALIER_SANITIZE})
endif()
# Kernels are compiled once for each instruction set, most of the build's time. The few CPUs that
# stop at SSSE3 run the baseline; what the sanitizers look for, the baseline and AVX2 show.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(disabled_targets HWY_SSSE3)
  if(ESPALIER_SANITIZE)
    string(APPEND disabled_targets "|HWY_SSE4|HWY_AVX3|HWY_AVX3_DL")
  endif()
  target_compile_definitions(espalier_options INTERFACE HWY_DISABLED_TARGETS=\(${disabled_targets}\))
endif()

# espalier_library(<folder> SOURCES <files> [DEPENDS <folders>] [PRIVATE_LIBRARIES <targets>])
function(espalier_library folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE_LIBRARIES" ${ARGN})
  add_library(espalier_${folder} STATIC ${ARG_SOURCES})
  add_library(Espalier::${folder} ALIAS espalier_${folder})
  set_target_properties(espalier_${folder} PROPERTIES EXPORT_NAME ${folder}
                        POSITION_INDEPENDENT_CODE ON)
  target_include_directories(espalier_${folder} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_include_directories(espalier_${folder} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_features(espalier_${folder} PUBLIC cxx_std_20)
  list(TRANSFORM ARG_DEPENDS PREPEND espalier_)
  target_link_libraries(espalier_${folder} PUBLIC ${ARG_DEPENDS}
                        PRIVATE $<BUILD_INTERFACE:espalier_options> ${ARG_PRIVATE_LIBRARIES})
  set_property(GLOBAL APPEND PROPERTY ESPALIER_LIBRARIES espalier_${folder})
endfunction()

# Tests are compiled quickly, without optimisation and with the headers of GoogleTest ready: two thirds
# of their compile time went there.
function(espalier_test_options target)
  target_compile_options(${target} PRIVATE -O0)
  if(ARGC GREATER 1)
    target_precompile_headers(${target} REUSE_FROM ${ARGV1})
    return()
  endif()
  if(NOT TARGET espalier_test_headers)
    add_library(espalier_test_headers OBJECT ${CMAKE_SOURCE_DIR}/tests/test_headers.cc)
    target_link_libraries(espalier_test_headers PRIVATE espalier_options GTest::gtest_main)
    target_compile_options(espalier_test_headers PRIVATE -O0)
    target_precompile_headers(espalier_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM espalier_test_headers)
endfunction()

# espalier_test(<folder> SOURCES <files> [LIBRARIES <targets>] [HEADERS <target>] [SHARDS <n>]): one test
# program a folder. HEADERS: the target that precompiles its headers, if not those of GoogleTest alone.
# SHARDS: the tests run in n processes, for programs that start slowly, instead of one process a test.
function(espalier_test folder)
  cmake_parse_arguments(ARG "" "HEADERS;SHARDS" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${folder}_test ${ARG_SOURCES})
  target_include_directories(${folder}_test PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${folder}_test PRIVATE ${ARG_LIBRARIES} espalier_options fmt::fmt
                        GTest::gtest_main)
  espalier_test_options(${folder}_test ${ARG_HEADERS})
  if(ARG_SHARDS)
    math(EXPR last "${ARG_SHARDS} - 1")
    foreach(shard RANGE ${last})
      add_test(NAME ${folder}.${shard} COMMAND ${folder}_test)
      set_tests_properties(${folder}.${shard} PROPERTIES LABELS ${folder} TIMEOUT 600
        ENVIRONMENT "GTEST_TOTAL_SHARDS=${ARG_SHARDS};GTEST_SHARD_INDEX=${shard}")
    endforeach()
    return()
  endif()
  gtest_discover_tests(${folder}_test TEST_PREFIX ${folder}. DISCOVERY_TIMEOUT 120
                       PROPERTIES LABELS ${folder})
endfunction()
