#include "install/sessions.h"

#include "agent/own_run_directory.h"
#include "agent/pod_marks.h"
#include "agent/session_directory.h"

namespace godwit::install {
namespace {

class SessionsTest : public agent::OwnRunDirectory {};

TEST_F(SessionsTest, CountsWhatIsNotOver) {
  EXPECT_EQ(sessions_under_way().value_or(99), 0U) << "no agent has ever run here";
  ASSERT_TRUE(agent::memory_id()) << "beside the sessions";
  const auto id = agent::SessionDirectory::new_id();
  ASSERT_TRUE(id);
  const auto session = agent::SessionDirectory::create(*id, {{"role", "source"}});
  ASSERT_TRUE(session);
  EXPECT_EQ(sessions_under_way().value_or(99), 1U);
  ASSERT_TRUE(session->write_result({.ok = true}));
  EXPECT_EQ(sessions_under_way().value_or(99), 0U);
}

TEST_F(SessionsTest, AContainerThatHasMovedAwayIsStillToBeEnded) {
  ASSERT_TRUE(agent::mark_container("arrived", {.state = agent::PodMark::State::restored}));
  EXPECT_EQ(sessions_under_way().value_or(99), 0U);
  ASSERT_TRUE(agent::mark_container("gone", {.state = agent::PodMark::State::moved, .to = "node-2"}));
  EXPECT_EQ(sessions_under_way().value_or(99), 1U);
  ASSERT_TRUE(agent::remove_container_mark("gone"));
  EXPECT_EQ(sessions_under_way().value_or(99), 0U);
}

}  // namespace
}  // namespace godwit::install
