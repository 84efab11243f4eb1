// DCMTK, prepared once: decoders registered, its own messages off.
#pragma once

namespace orchard::io {

// Thread-safe. Throws ResourceError when DCMTK's data dictionary is not loaded.
void StartDicomLibrary();

}  // namespace orchard::io
