#include "util/half.h"

#include <cmath>
#include <initializer_list>

#include "check.h"

using namespace dynamo_labs;

int main() {
  // Every finite half comes back, and the value midway to the next one rounds to the even neighbour.
  for (uint32_t bits = 0; bits < 0x7c00; bits++)
    for (uint32_t sign : {0u, 0x8000u}) {
      const uint16_t half = static_cast<uint16_t>(bits | sign);
      CHECK(floatToHalf(halfToFloat(half)) == half);
      if (bits + 1 >= 0x7c00) continue;
      const double low = halfToFloat(half), high = halfToFloat(static_cast<uint16_t>(half + 1)), middle = (low + high) / 2;
      CHECK(floatToHalf(static_cast<float>(middle)) == (half % 2 == 0 ? half : half + 1));
      CHECK(floatToHalf(std::nextafterf(static_cast<float>(middle), static_cast<float>(high))) == half + 1);
      CHECK(floatToHalf(std::nextafterf(static_cast<float>(middle), static_cast<float>(low))) == half);
    }
  CHECK(halfToFloat(0x3c00) == 1 && halfToFloat(0xc000) == -2 && halfToFloat(1) == 0x1p-24f);
  CHECK(std::isinf(halfToFloat(0x7c00)) && std::isnan(halfToFloat(0x7e00)));
  CHECK(bfloatToFloat(0x3f80) == 1);
}
