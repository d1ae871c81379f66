# What is installed, and packages of it: a .deb of Debian's libraries, and an archive that carries its libraries along.
#   cmake --preset demo && cmake --build --preset demo && (cd build/demo && cpack -G "DEB;TGZ")

# Completion scripts and the manual are made by the program itself, from its tables of options.
set(UVIC_GENERATED ${CMAKE_BINARY_DIR}/generated)
add_custom_command(OUTPUT ${UVIC_GENERATED}/uvic.1.gz
  COMMAND $<TARGET_FILE:uvic> man > ${UVIC_GENERATED}/uvic.1
  COMMAND gzip -9nf ${UVIC_GENERATED}/uvic.1
  DEPENDS uvic VERBATIM COMMENT "Manual")
set(generated_files ${UVIC_GENERATED}/uvic.1.gz)
foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${UVIC_GENERATED}/uvic.${shell}
    COMMAND $<TARGET_FILE:uvic> completion ${shell} > ${UVIC_GENERATED}/uvic.${shell}
    DEPENDS uvic VERBATIM COMMENT "Completion script of ${shell}")
  list(APPEND generated_files ${UVIC_GENERATED}/uvic.${shell})
endforeach()
file(MAKE_DIRECTORY ${UVIC_GENERATED})
add_custom_target(uvic_generated ALL DEPENDS ${generated_files})

set(UVIC_DOC ${CMAKE_INSTALL_DATADIR}/doc/uvic)
install(DIRECTORY configs assets DESTINATION ${CMAKE_INSTALL_DATADIR}/uvic COMPONENT program)
install(FILES CHANGELOG.md README.md DESTINATION ${UVIC_DOC} COMPONENT program)
install(FILES LICENSE DESTINATION ${UVIC_DOC} RENAME copyright COMPONENT program)
install(DIRECTORY docs DESTINATION ${UVIC_DOC} COMPONENT program)
install(FILES ${UVIC_GENERATED}/uvic.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
install(FILES ${UVIC_GENERATED}/uvic.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME uvic COMPONENT program)
install(FILES ${UVIC_GENERATED}/uvic.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions
  RENAME _uvic COMPONENT program)
install(FILES ${UVIC_GENERATED}/uvic.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
  COMPONENT program)
# Of libraries that are headers alone and therefore in the program.
foreach(package libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libstb-dev)
  if(EXISTS /usr/share/doc/${package}/copyright)
    install(FILES /usr/share/doc/${package}/copyright DESTINATION ${UVIC_DOC}/licences RENAME ${package}
      COMPONENT program)
  endif()
endforeach()

install(FILES assets/uplot/LICENSE DESTINATION ${UVIC_DOC}/licences RENAME uplot COMPONENT program)

# The archive's libraries: all that the program needs but the C library. Found there by the program's RPATH, also by libraries
# that need each other. `cmake --install` alone leaves them out.
set(UVIC_LIBRARIES_DIR ${CMAKE_INSTALL_LIBDIR}/uvic)
file(RELATIVE_PATH to_libraries /${CMAKE_INSTALL_BINDIR} /${UVIC_LIBRARIES_DIR})
set_target_properties(uvic PROPERTIES INSTALL_RPATH "$ORIGIN/${to_libraries}" INSTALL_RPATH_USE_LINK_PATH ON)
target_link_options(uvic PRIVATE -Wl,--disable-new-dtags)
configure_file(cmake/install_libraries.cmake.in ${CMAKE_BINARY_DIR}/install_libraries.cmake @ONLY)
install(SCRIPT ${CMAKE_BINARY_DIR}/install_libraries.cmake COMPONENT libraries EXCLUDE_FROM_ALL)

set(CPACK_PACKAGE_NAME uvic)
set(CPACK_PACKAGE_VENDOR "uvic maintainers")
set(CPACK_PACKAGE_CONTACT "uvic maintainers <maintainers@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train, sample and score diffusion transformers")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_THREADS 0)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_SYSTEM_NAME ${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Any BLAS will do; this one is the fastest of Debian's, and the reference one too slow for training.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libopenblas0-openmp)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "\
U-ViT and U-ViC (U-ViT with Cog Attention, whose weights may be negative) from images on disk to
samples and scores: training, samplers, FID and its kin, comparison reports. One native program on
LibTorch; no Python at run time.")
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/cmake/cpack_components.cmake)
set(CPACK_UVIC_BINARY_DIR ${CMAKE_BINARY_DIR})
include(CPack)
