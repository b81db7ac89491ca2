// Exists for its precompiled headers (cmake/EspalierTargets.cmake).
