#include "agent/failure_logs.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/own_run_directory.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class FailureLogs : public OwnRunDirectory {
 protected:
  static SessionDirectory session_with(const std::string& log) {
    auto session = SessionDirectory::create(SessionDirectory::new_id().value(), nlohmann::json::object());
    EXPECT_TRUE(session.has_value()) << session.error().message;
    if (!log.empty()) EXPECT_TRUE(os::write_file_atomic(session->path("work/restore.log"), log));
    return *session;
  }
  static unsigned mode_of(const std::string& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }
};

TEST_F(FailureLogs, OutliveTheSessionsWorkingFilesForRootAlone) {
  const SessionDirectory session = session_with("Error (x): why");
  const auto kept = keep_failure_logs(session);
  ASSERT_TRUE(kept.has_value()) << kept.error().message;
  EXPECT_TRUE(session.remove());
  EXPECT_EQ(os::read_file(*kept + "/restore.log").value_or(""), "Error (x): why");
  EXPECT_EQ(mode_of(*kept + "/restore.log"), 0600U);
  EXPECT_EQ(mode_of(*kept), 0700U);
  EXPECT_FALSE(os::exists(*kept + "/dump.log"));
}

TEST_F(FailureLogs, AreBoundedInSizeAndTheEndIsKept) {
  const auto kept = keep_failure_logs(session_with(std::string(3 * failure_log_bytes_max, 'x') + "the end"));
  ASSERT_TRUE(kept.has_value()) << kept.error().message;
  const auto text = os::read_file(*kept + "/restore.log");
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(text->size(), failure_log_bytes_max);
  EXPECT_THAT(*text, EndsWith("xthe end"));
}

TEST_F(FailureLogs, AreBoundedInNumberAndTheNewestAreKept) {
  std::vector<std::string> kept;
  for (size_t i = 0; i < failures_kept_max + 3; ++i) {
    kept.push_back(keep_failure_logs(session_with(std::to_string(i))).value_or("?"));
    // Times of files are only as fine as the kernel's tick.
    std::filesystem::last_write_time(kept.back(),
                                     std::filesystem::file_time_type::clock::now() - std::chrono::seconds(100 - i));
  }
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(os::exists(kept[i]), i >= 3) << i;
}

TEST_F(FailureLogs, AreNamedInTheErrorWhereThereAreAny) {
  const Error error{.message = "restore: no", .code = EAGAIN};
  const Result<> without = with_failure_logs(std::unexpected(error), session_with(""), "node-2");
  EXPECT_EQ(without.error().message, "restore: no");
  const SessionDirectory session = session_with("log");
  const Result<> with = with_failure_logs(std::unexpected(error), session, "node-2");
  EXPECT_THAT(with.error().message, HasSubstr("on node-2 in " + run_ + "/failures/" + session.id()));
  EXPECT_EQ(with.error().code, EAGAIN) << "whether to try again is told by the code";
  EXPECT_FALSE(os::exists(run_ + "/failures/" + SessionDirectory::new_id().value()));
  EXPECT_TRUE(with_failure_logs({}, session, "node-2"));
}

}  // namespace
}  // namespace godwit::agent
