// Elements of a DICOM item as C++ values. Includes DCMTK: for the files that need it only.
#pragma once

#include <dcmtk/config/osconfig.h>
// DCMTK's configuration comes before its other headers.
#include <dcmtk/dcmdata/dctk.h>

#include <cstdint>
#include <optional>
#include <string>

namespace orchard::io {

// The element's first value (or all, with backslashes) without padding; empty when it is absent.
std::string Text(DcmItem& item, const DcmTagKey& tag);
std::string WholeText(DcmItem& item, const DcmTagKey& tag);

// Value `index` of a number, whatever its representation; nothing when it is absent, no number, or
// not finite.
std::optional<double> Number(DcmItem& item, const DcmTagKey& tag, unsigned long index = 0);

// The same as a whole number; `otherwise` when it is absent or beyond 10^15.
int64_t Integer(DcmItem& item, const DcmTagKey& tag, int64_t otherwise);

// `count` numbers; false when there are fewer.
bool Numbers(DcmItem& item, const DcmTagKey& tag, double* target, unsigned long count);

// Item `index` of a sequence; null when it is not there.
DcmItem* Item(DcmItem& item, const DcmTagKey& sequence, long index = 0);

// Each byte that is no printable ASCII as '?'.
std::string Ascii(std::string text);

}  // namespace orchard::io
