#include "io/medical/dicom_library.h"

#include <dcmtk/config/osconfig.h>
// DCMTK's configuration comes before its other headers.
#include <dcmtk/dcmdata/dcdict.h>
#include <dcmtk/dcmdata/dcrledrg.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/oflog/oflog.h>

#include "base/error.h"

namespace orchard::io {

void StartDicomLibrary() {
  // Process-wide tables of DCMTK's own; a static makes the first call the only one.
  static const bool ready = [] {
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    DcmRLEDecoderRegistration::registerCodecs();
    DJDecoderRegistration::registerCodecs();
    DJLSDecoderRegistration::registerCodecs();
    return dcmDataDict.isDictionaryLoaded();
  }();
  if (!ready) {
    throw ResourceError("DCMTK's data dictionary is missing", "",
                        "install dcmtk, or name the file in DCMDICTPATH");
  }
}

}  // namespace orchard::io
