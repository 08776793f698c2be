# Man pages, extracted from the public headers where there is a Python.

find_package(Python3 3.9 COMPONENTS Interpreter QUIET)
if(NOT Python3_Interpreter_FOUND)
    message(STATUS "Loam: no Python 3, so no man pages")
    return()
endif()

file(GLOB loam_headers CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_SOURCE_DIR}/include/loam/*.h)
set(LOAM_MAN_DIR ${CMAKE_CURRENT_BINARY_DIR}/man)
set(loam_man_stamp ${LOAM_MAN_DIR}/made)

add_custom_command(OUTPUT ${loam_man_stamp}
    COMMAND Python3::Interpreter
        ${CMAKE_CURRENT_SOURCE_DIR}/scripts/reference man
        ${LOAM_MAN_DIR} ${PROJECT_VERSION}
    COMMAND ${CMAKE_COMMAND} -E touch ${loam_man_stamp}
    DEPENDS ${loam_headers} ${CMAKE_CURRENT_SOURCE_DIR}/include/loam.h
        ${CMAKE_CURRENT_SOURCE_DIR}/scripts/reference
    COMMENT "Writing man pages" VERBATIM)
add_custom_target(loam_man ALL DEPENDS ${loam_man_stamp})
