// The quick reference: what users type, word by word.
#include <gmock/gmock.h>

#include <unistd.h>

#include <sstream>

#include "os/file.h"
#include "rows.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ReferenceTest : public RowTest {
 protected:
  // As in a shell of the administrator, without the namespace that other tests are in.
  [[nodiscard]] std::string type(const std::string& line) const {
    const auto said = node(0).exec_checked({"sh", "-ec", in_shell(line)}, patient());
    EXPECT_TRUE(said) << said.error().message;
    return said.value_or("");
  }
  static std::string in_shell(const std::string& line) {
    return "export KUBECONFIG=/etc/kubernetes/admin.conf; " + line;
  }
};

TEST_F(ReferenceTest, NodesWithTheLabel) {
  const std::string nodes = type("kubectl get nodes -l live.cast.ai/migration-enabled=true");
  for (const char* name : {"node-1", "node-2", "node-3"}) EXPECT_THAT(nodes, HasSubstr(name));
}

TEST_F(ReferenceTest, PodsAndMigrations) {
  start_pod("cache");
  EXPECT_TRUE(eventually(soon(), [&] {
    const std::string pods = type("kubectl get pods -A -l live.cast.ai/migration-enabled=true");
    return pods.find(space_ + " ") != std::string::npos && pods.find(" cache ") != std::string::npos;
  }));

  const std::string log = testing::TempDir() + "godwit-watch-" + std::to_string(::getpid());
  ::unlink(log.c_str());
  auto watch = node(0).spawn({"sh", "-c", in_shell("exec kubectl get migrations -A -w")}, {.log_path = log});
  ASSERT_TRUE(watch) << watch.error().message;
  const std::string name = order("cache");
  ASSERT_EQ(outcome(name).value("state", ""), "Completed");
  const auto seen = [&] {
    std::istringstream all(os::read_file(log).value_or(""));
    std::string states;
    for (std::string line; std::getline(all, line);) {
      if (!line.starts_with(space_ + " ")) continue;
      std::istringstream words(line);
      std::string word;
      for (int i = 0; i < 4; ++i) words >> word;
      if (!states.ends_with(word + " ")) states += word + " ";
    }
    return states;
  };
  EXPECT_TRUE(eventually(soon(), [&] { return seen() == "Pending Running Completed "; }))
      << seen() << "\n"
      << os::read_file(log).value_or("");
  watch->kill_and_wait();
  ::unlink(log.c_str());

  const std::string migrations = type("kubectl get migrations -A");
  EXPECT_THAT(migrations, AllOf(HasSubstr("NAMESPACE"), HasSubstr(space_), HasSubstr("Completed")));
  const std::string story = type("kubectl describe migration " + name + " -n " + space_);
  EXPECT_THAT(story, AllOf(HasSubstr("Kind:         Migration"), HasSubstr("Pod Name:"), HasSubstr("cache-clone-1")));
}

}  // namespace
}  // namespace godwit
