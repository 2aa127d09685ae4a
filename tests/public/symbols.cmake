# The symbols that LIBRARY exports are to be the lines of the file EXPECTED: a change of the public
# interface is a conscious one.
execute_process(COMMAND ${NM} -D --defined-only --format=posix ${LIBRARY}
    OUTPUT_VARIABLE lines RESULT_VARIABLE code)
if(NOT code EQUAL 0)
    message(FATAL_ERROR "${NM} ${LIBRARY} failed: ${code}")
endif()
string(REGEX REPLACE "LEAT_[0-9]+ A[^\n]*\n" "" lines "${lines}") # the version node itself
string(REGEX REPLACE " [^\n]*" "" lines "${lines}")
string(REGEX REPLACE "\n$" "" lines "${lines}")
string(REPLACE "\n" ";" lines "${lines}")
list(SORT lines)
string(REPLACE ";" "\n" lines "${lines}")
file(READ ${EXPECTED} expected)
if(NOT "${lines}\n" STREQUAL "${expected}")
    message(FATAL_ERROR "the library exports\n${lines}\nbut ${EXPECTED} says\n${expected}\n"
        "if the change is meant, make the file say so")
endif()
