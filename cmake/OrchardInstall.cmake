# bin/, lib/, libexec/orchard/, share/orchard/, include/orchard/ and a package for find_package(Orchard).
include(CMakePackageConfigHelpers)
install(TARGETS orchard-core orchard orchard-dicom EXPORT OrchardTargets LIBRARY DESTINATION lib)
install(EXPORT OrchardTargets NAMESPACE Orchard:: DESTINATION lib/cmake/Orchard)
install(DIRECTORY lib/ DESTINATION include/orchard FILES_MATCHING PATTERN "*.h")
install(DIRECTORY configs docs DESTINATION share/orchard OPTIONAL)
install(DIRECTORY scripts/slurm DESTINATION share/orchard)
install(FILES LICENSE THIRD_PARTY_NOTICES.md DESTINATION share/orchard)
configure_package_config_file(cmake/OrchardConfig.cmake.in ${CMAKE_BINARY_DIR}/OrchardConfig.cmake
                              INSTALL_DESTINATION lib/cmake/Orchard)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/OrchardConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/OrchardConfig.cmake ${CMAKE_BINARY_DIR}/OrchardConfigVersion.cmake
        DESTINATION lib/cmake/Orchard)
