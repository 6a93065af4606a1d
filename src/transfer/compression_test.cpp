#include "transfer/compression.h"

#include <gtest/gtest.h>

namespace godwit::transfer {
namespace {

using std::chrono::microseconds;

constexpr size_t batch_bytes = size_t{256} << 10;

// What a lane does with batches of memory that LZ4 halves at 1 GB/s, over a link that takes `link` for 256 KiB, while
// it waits for the peer for `peer` a batch. Returns how many of the last 1000 batches were compressed.
int compressed_batches(Compression compression, microseconds link, microseconds peer) {
  CompressionChooser chooser(compression);
  int compressed = 0;
  for (int i = 0; i < 2000; ++i) {
    const bool compress = chooser.next();
    const size_t wire_bytes = compress ? batch_bytes / 2 : batch_bytes;
    EncodedCounts counts;
    if (compress) {
      counts.codec_input_bytes = batch_bytes;
      counts.codec_output_bytes = wire_bytes;
      counts.codec_time = microseconds(262);
    }
    // It waits in some batches for several, and the kernel tells half of that only after the next one.
    const microseconds waited = i % 7 == 0 ? 7 * peer : microseconds(0);
    const microseconds told = i % 7 <= 1 ? 7 * peer / 2 : microseconds(0);
    chooser.sent(counts, wire_bytes, (compress ? link / 2 : link) + waited - told);
    if (i >= 1000 && compress) ++compressed;
  }
  return compressed;
}

TEST(CompressionChooser, CompressesForASlowLink) {
  EXPECT_EQ(compressed_batches(Compression::automatic, microseconds(2620), {}), 1000);  // 100 MB/s
}

TEST(CompressionChooser, OnlyTriesForALinkThatIsFasterThanTheCodec) {
  const int tried = compressed_batches(Compression::automatic, microseconds(130), {});  // 2 GB/s
  EXPECT_GT(tried, 0);
  EXPECT_LT(tried, 50);
}

TEST(CompressionChooser, DoesNotTakeASlowPeerForASlowLink) {
  EXPECT_LT(compressed_batches(Compression::automatic, microseconds(130), microseconds(5000)), 50);
}

TEST(CompressionChooser, DoesAsToldWhenTold) {
  EXPECT_EQ(compressed_batches(Compression::off, microseconds(2620), {}), 0);
  EXPECT_EQ(compressed_batches(Compression::lz4, microseconds(130), {}), 1000);
}

}  // namespace
}  // namespace godwit::transfer
