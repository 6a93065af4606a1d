#include "agent/pod_log.h"

#include <nlohmann/json.hpp>

#include "agent/own_run_directory.h"

namespace godwit::agent {
namespace {

class ContinueLog : public OwnRunDirectory {
 protected:
  void SetUp() override {
    OwnRunDirectory::SetUp();
    before = run_ + "/log/before";
    directory = run_ + "/log";
    ASSERT_TRUE(os::make_directories(before));
    put(directory + "/0.log", "");
  }
  static void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(os::write_file_atomic(path, text)) << path;
  }
  [[nodiscard]] std::string now() const { return os::read_file(directory + "/0.log").value_or("?"); }

  std::string before;
  std::string directory;
};

TEST_F(ContinueLog, PutsTheNewestOneFirst) {
  put(before + "/2.log", "second start\n");
  put(before + "/10.log", "tenth start\n");
  put(before + "/10.log.20261129-1200", "rotated\n");
  ASSERT_TRUE(continue_log(before, directory));
  EXPECT_EQ(now(), "tenth start\n");
  EXPECT_FALSE(os::exists(before));
}

TEST_F(ContinueLog, OfALongOneOnlyTheEndInWholeLines) {
  const std::string line = std::string(1000, 'x') + "\n";
  std::string text = "first\n";
  while (text.size() < continued_log_bytes_max + 100) text += line;
  put(before + "/0.log", text);
  ASSERT_TRUE(continue_log(before, directory));
  EXPECT_LE(now().size(), continued_log_bytes_max);
  EXPECT_GT(now().size(), continued_log_bytes_max - line.size());
  EXPECT_TRUE(now().starts_with(line));
}

TEST_F(ContinueLog, WithoutOneThereIsNothingToDo) {
  ASSERT_TRUE(continue_log(before, directory));
  EXPECT_EQ(now(), "");
}

TEST_F(ContinueLog, FollowsNoLinkThatASourceHasSent) {
  put(run_ + "/secret", "secret\n");
  ASSERT_EQ(::symlink((run_ + "/secret").c_str(), (before + "/0.log").c_str()), 0);
  EXPECT_FALSE(continue_log(before, directory));
  EXPECT_EQ(now(), "");
}

TEST(PodLogDirectory, IsNotMadeOfNamesThatAreNone) {
  nlohmann::json config = {{"annotations",
                            {{"io.kubernetes.cri.sandbox-namespace", "a"},
                             {"io.kubernetes.cri.sandbox-name", "b"},
                             {"io.kubernetes.cri.sandbox-uid", "c"},
                             {"io.kubernetes.cri.container-name", ".."}}}};
  EXPECT_EQ(pod_log_directory(config), "");
  EXPECT_EQ(pod_log_directory(nlohmann::json::object()), "");
}

}  // namespace
}  // namespace godwit::agent
