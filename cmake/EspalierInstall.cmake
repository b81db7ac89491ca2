# Headers, static libraries, the program and the CMake package. Tests, benchmarks and fuzzers stay.
include(CMakePackageConfigHelpers)

# A library without public headers (cli) is a part of the program only. A folder that is not built
# has no library to link, so its headers stay behind, too.
get_property(built GLOBAL PROPERTY ESPALIER_LIBRARIES)
foreach(library IN LISTS built)
  get_target_property(folder ${library} EXPORT_NAME)
  if(IS_DIRECTORY ${CMAKE_SOURCE_DIR}/include/espalier/${folder})
    list(APPEND libraries ${library})
    install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/espalier/${folder}
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/espalier FILES_MATCHING PATTERN "*.h")
  endif()
endforeach()
# Everything but train, which would bring libtorch to all: whoever trains links Espalier::train.
set(everything ${libraries})
list(REMOVE_ITEM everything espalier_train)
add_library(espalier_everything INTERFACE)
add_library(Espalier::espalier ALIAS espalier_everything)
set_target_properties(espalier_everything PROPERTIES EXPORT_NAME espalier)
target_link_libraries(espalier_everything INTERFACE ${everything})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Espalier)
install(TARGETS ${libraries} espalier_everything EXPORT EspalierTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT EspalierTargets NAMESPACE Espalier:: DESTINATION ${package_dir})

if(TARGET espalier_program)
  install(TARGETS espalier_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET espalier_train_program)
  install(TARGETS espalier_train_program RUNTIME DESTINATION lib/espalier)  # see start_training.cc
endif()
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/EspalierConfig.cmake.in
                              ${CMAKE_BINARY_DIR}/EspalierConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/EspalierConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/EspalierConfig.cmake
              ${CMAKE_BINARY_DIR}/EspalierConfigVersion.cmake
        DESTINATION ${package_dir})
install(FILES ${CMAKE_SOURCE_DIR}/cmake/Findre2.cmake ${CMAKE_SOURCE_DIR}/cmake/FindoneDNN.cmake
        DESTINATION ${package_dir}/modules)
