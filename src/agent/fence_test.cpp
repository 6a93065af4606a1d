#include "agent/fence.h"

#include "agent/own_run_directory.h"

namespace godwit::agent {
namespace {

class Fence : public OwnRunDirectory {};

TEST_F(Fence, LetsLeadersInOneAfterTheOther) {
  EXPECT_TRUE(check_fence(7));
  EXPECT_TRUE(check_fence(7)) << "its next order";
  EXPECT_TRUE(check_fence(9));
  const auto late = check_fence(7);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("succeeded by 9"), std::string::npos);
  EXPECT_TRUE(check_fence(9)) << "the late one has changed nothing";
}

TEST(FenceLine, IsReadAsItWasWritten) {
  for (const int64_t sequence : {int64_t{0}, int64_t{1} << 61}) {
    EXPECT_EQ(parse_fence(fence_line(sequence)).value(), sequence);
  }
  for (const char* wrong : {"", "fence", "fence ", "fence x", "fence 1 ", R"({"verb": "ps"})"}) {
    EXPECT_FALSE(parse_fence(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace godwit::agent
