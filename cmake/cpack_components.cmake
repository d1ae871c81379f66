# Read by cpack for each of its generators: the archive alone carries the libraries.
set(CPACK_INSTALL_CMAKE_PROJECTS "${CPACK_UVIC_BINARY_DIR};uvic;program;/")
if(CPACK_GENERATOR STREQUAL "TGZ")
  list(APPEND CPACK_INSTALL_CMAKE_PROJECTS "${CPACK_UVIC_BINARY_DIR}" uvic libraries /)
else()
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
endif()
