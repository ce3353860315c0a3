cmake_minimum_required(VERSION 3.25)

# Writes OUT, a header with the commit of SOURCE, and leaves it alone where it says that already.
if(EXISTS ${SOURCE}/.git)
  execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=10 --exclude *
                  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT COMMIT)
  set(COMMIT "unknown")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define FASTCLIP_COMMIT \"@COMMIT@\"\n" @ONLY)
