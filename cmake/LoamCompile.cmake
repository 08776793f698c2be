# How everything in this repository is compiled: warnings, optimisation, and
# what the presets switch on. Programs that use Loam get none of it.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()

# -O2 is what distributions build with, so it is what we measure. Assertions
# of benchmarks and examples stay in: an answer that is wrong is not fast.
set(CMAKE_C_FLAGS_RELEASE "-O2 -fomit-frame-pointer")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -fomit-frame-pointer")
set(CMAKE_C_FLAGS_DEBUG "-Og -g3 -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g3 -fno-omit-frame-pointer")

add_compile_options(-Wall -Wextra -Wshadow
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)

if(LOAM_WERROR)
    add_compile_options(-Werror)
endif()

if(LOAM_SANITIZE)
    add_compile_options(-fsanitize=${LOAM_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=${LOAM_SANITIZE})
endif()

if(LOAM_FUZZ)
    # The fuzz targets alone are linked with the fuzzer's main function.
    add_compile_options(-fsanitize=fuzzer-no-link,address
        -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=address)
endif()

if(LOAM_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()
