# libleat.so: the public C API (include/leat) and nothing else, and the tests that see only that.
include(GNUInstallDirs)

# Everything but leat_* stays inside. The rooms' objects are taken whole: nobody inside calls them.
function(leat_library)
    set(made ${CMAKE_BINARY_DIR}/generated/libleat.c)
    file(CONFIGURE OUTPUT ${made} CONTENT "typedef int no_code_of_its_own;\n" @ONLY)
    add_library(leat_so SHARED ${made})
    set_target_properties(leat_so PROPERTIES OUTPUT_NAME leat LINKER_LANGUAGE CXX
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
    set(map ${CMAKE_SOURCE_DIR}/api/libleat.map)
    set_property(TARGET leat_so APPEND PROPERTY LINK_DEPENDS ${map})
    target_link_options(leat_so PRIVATE -Wl,--version-script=${map})
    target_link_libraries(leat_so PRIVATE -Wl,--whole-archive ${ARGV} -Wl,--no-whole-archive)
    target_include_directories(leat_so INTERFACE
        $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
    install(TARGETS leat_so LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/leat
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
endfunction()

function(leat_public_program name)
    add_executable(${name} ${ARGN})
    target_link_libraries(${name} PRIVATE leat_so PkgConfig::CMOCKA Threads::Threads)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_compile_definitions(${name} PRIVATE LEAT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

# The first ```c block of a document as a program of its own; its output is to be the first ```text
# block.
function(leat_document_program name document)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${document})
    file(READ ${CMAKE_SOURCE_DIR}/${document} text)
    foreach(kind c text)
        string(FIND "${text}" "\n```${kind}\n" begin)
        string(LENGTH "\n```${kind}\n" opening)
        math(EXPR begin "${begin} + ${opening}")
        string(SUBSTRING "${text}" ${begin} -1 rest)
        string(FIND "${rest}" "```\n" end)
        string(SUBSTRING "${rest}" 0 ${end} block_${kind})
    endforeach()
    set(made ${CMAKE_BINARY_DIR}/generated/${name})
    file(CONFIGURE OUTPUT ${made}.c CONTENT "${block_c}" @ONLY)
    file(CONFIGURE OUTPUT ${made}.txt CONTENT "${block_text}" @ONLY)
    leat_public_program(${name} ${made}.c)
    add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${name}>
        -DEXPECTED=${made}.txt -P ${CMAKE_SOURCE_DIR}/tests/public/document.cmake)
endfunction()

# A program a *_test.c or *_test.cc of the folder, the documents' programs, and the symbols.
function(leat_public_tests folder)
    if(NOT LEAT_TESTS)
        return()
    endif()
    file(GLOB tests CONFIGURE_DEPENDS ${folder}/*_test.c ${folder}/*_test.cc)
    foreach(test ${tests})
        get_filename_component(name ${test} NAME_WE)
        leat_public_program(${name} ${test})
        add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
        set_tests_properties(${name} PROPERTIES TIMEOUT 300)
    endforeach()
    leat_document_program(operators_example docs/operators.md)
    add_test(NAME symbols COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM}
        -DLIBRARY=$<TARGET_FILE:leat_so> -DEXPECTED=${CMAKE_SOURCE_DIR}/api/symbols.txt
        -P ${CMAKE_SOURCE_DIR}/tests/public/symbols.cmake)
endfunction()
