# Runs PROGRAM; what it prints is to be the text of the file EXPECTED.
execute_process(COMMAND ${PROGRAM}
    OUTPUT_VARIABLE printed ERROR_VARIABLE words RESULT_VARIABLE code)
file(READ ${EXPECTED} expected)
if(NOT code EQUAL 0 OR NOT "${printed}" STREQUAL "${expected}")
    message(FATAL_ERROR "the document's program ended with ${code} and printed\n"
        "${printed}${words}\nbut the document says\n${expected}")
endif()
