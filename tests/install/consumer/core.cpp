// SHA-256 of "abc", the example of FIPS 180-4, through the installed orchard-core.
#include <array>

#include "base/hash.h"

int main() {
  const std::array<std::byte, 3> abc = {std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
  const char* expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  return orchard::Sha256Hex(abc) == expected ? 0 : 1;
}
