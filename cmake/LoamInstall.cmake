# What `cmake --install` puts where: headers, both libraries, the command, man
# pages, and what pkg-config and find_package read.

include(CMakePackageConfigHelpers)

set(loam_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/loam)

install(TARGETS loam loam_static EXPORT loam-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/loam.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/loam DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
if(TARGET loam_tool)
    install(TARGETS loam_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(LOAM_MAN_DIR)
    install(DIRECTORY ${LOAM_MAN_DIR}/ DESTINATION ${CMAKE_INSTALL_MANDIR} OPTIONAL
        FILES_MATCHING REGEX "/man[1-8]/[^/]+[.][1-8]$")
endif()

# Both find_package(Loam) and find_package(loam) read loam-config.cmake.
install(EXPORT loam-targets NAMESPACE Loam:: DESTINATION ${loam_cmake_dir})
configure_package_config_file(cmake/loam-config.cmake.in loam-config.cmake
    INSTALL_DESTINATION ${loam_cmake_dir}
    NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(loam-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/loam-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/loam-config-version.cmake
    DESTINATION ${loam_cmake_dir})

# loam.pc finds its prefix from where it lies, so that the tree can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR
        IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(LOAM_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
    set(LOAM_PC_LIBDIR ${CMAKE_INSTALL_FULL_LIBDIR})
    set(LOAM_PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
    cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
        BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
        OUTPUT_VARIABLE loam_up)
    string(REGEX REPLACE "/$" "" loam_up "${loam_up}")
    set(LOAM_PC_PREFIX "\${pcfiledir}/${loam_up}")
    set(LOAM_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(LOAM_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/loam.pc.in loam.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/loam.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# A library below /usr/local is found once the loader's cache knows it. A
# packager's staging directory and an ordinary user have no cache to update.
install(CODE [[
    if("$ENV{DESTDIR}" STREQUAL "" AND
            CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
        execute_process(COMMAND /sbin/ldconfig OUTPUT_QUIET ERROR_QUIET)
    endif()
]])
