# Installs a build, and uses it from a project that knows only the installed package.
#   cmake -DBUILD_DIR= -DWORK_DIR= -DSOURCE_DIR= -DVERSION= -DPROGRAM= -P run.cmake
# SOURCE_DIR: the tree whose paths may not appear in the package. PROGRAM: ON if it was built.

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${text}\nexit status: ${status}")
  endif()
  set(run_output "${text}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK_DIR})
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/staged)
# Moved after the installation: the package must not know where it was installed.
set(prefix ${WORK_DIR}/prefix)
file(RENAME ${WORK_DIR}/staged ${prefix})

file(GLOB_RECURSE files RELATIVE ${prefix} ${prefix}/*)
foreach(file IN LISTS files)
  if(file MATCHES "test|bench|fuzz|gmock" OR file MATCHES "^include/espalier/[^/]*\\.cc$")
    message(FATAL_ERROR "${file} is installed, but is not for users")
  endif()
  if(file MATCHES "\\.cmake$")
    file(READ ${prefix}/${file} text)
    string(FIND "${text}" "${SOURCE_DIR}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names the source tree ${SOURCE_DIR}")
    endif()
  endif()
endforeach()

run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/outside -B ${WORK_DIR}/outside -G Ninja
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${prefix} -DEXPECTED_VERSION=${VERSION}
    -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF)
run(${CMAKE_COMMAND} --build ${WORK_DIR}/outside)
foreach(program outside_pattern outside_all)
  run(${CMAKE_COMMAND} -E chdir ${WORK_DIR}/outside ./${program})
  message("${program}: ok ${run_output}")
endforeach()
if(PROGRAM)
  run(${prefix}/bin/espalier --help)
endif()
