// The final pass costs what changed, not what is there: counted in operations, since times are noisy.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/deadline.h"
#include "scratch.h"

namespace godwit::files {
namespace {

constexpr int kDirectories = 200;
constexpr int kFilesEach = 100;

std::string file_name(int directory, int file) {
  return fmt::format("d{:03}/f{:03}", directory, file);
}

void fill(const std::string& root) {
  for (int d = 0; d < kDirectories; ++d) {
    std::filesystem::create_directory(fmt::format("{}/d{:03}", root, d));
    for (int f = 0; f < kFilesEach; ++f) {
      const UniqueFd fd(::open((root + "/" + file_name(d, f)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      const std::string text = fmt::format("file {} {}\n", d, f);
      ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // beyond the grain of timestamps
}

void change_ten(const std::string& root) {
  for (int i = 0; i < 10; ++i) {
    std::filesystem::permissions(root + "/" + file_name(i * 19, i), std::filesystem::perms::owner_all);
    write_file(root + "/" + file_name(i * 19, i), fmt::format("changed {}\n", i));
  }
}

class FinalPassCost : public ::testing::TestWithParam<bool> {};

TEST_P(FinalPassCost, TwentyThousandFilesTenChanged) {
  const bool watch = GetParam();
  const Scratch scratch;
  const Overlay overlay(scratch);
  overlay.mount();
  fill(overlay.merged);
  const std::string destination = scratch.directory("destination");
  Copy copy({{.id = 1, .kind = RootKind::overlay_upper, .path = overlay.upper, .mount_point = "/"}},
            {{.id = 1, .path = destination}}, {.watch = watch});
  const PassStats first = copy.first();
  EXPECT_EQ(first.files_read, 20'000U);
  EXPECT_EQ(first.directories_listed, 201U);
  EXPECT_EQ(copy.next().files_read, 0U);
  change_ten(overlay.merged);

  const auto start = Clock::now();
  const PassStats last = copy.final();
  const double last_ms = elapsed_ms(start);
  std::printf("final pass, 20 000 files, 10 changed, %s: %.2f ms, %lu examined, %lu read, %lu wire bytes\n",
              watch ? "watch" : "walk", last_ms, last.paths_examined, last.files_read, last.wire_bytes);
  EXPECT_EQ(last.files_read, 10U);
  EXPECT_LT(last.entries_sent, 25U);
  EXPECT_LT(last.wire_bytes, 4000U);
  if (watch) {
    EXPECT_EQ(last.roots_walked, 0U);
    EXPECT_EQ(last.directories_listed, 0U);
    EXPECT_LT(last.paths_examined, 60U);
  } else {
    EXPECT_EQ(last.roots_walked, 1U);
    EXPECT_LT(last.paths_examined, 20'500U);  // files, and a directory twice
  }
  ASSERT_TRUE(copy.receiver_end());
  EXPECT_EQ(differences(overlay.upper, destination, RootKind::overlay_upper), "");
}

INSTANTIATE_TEST_SUITE_P(Files, FinalPassCost, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Watch" : "Walk"; });

TEST(FinalPassCost, ALargeFileWithASmallWriteSendsOneBlock) {
  const Scratch scratch;
  const std::string source = scratch.tmpfs("source");
  const std::string destination = scratch.directory("destination");
  std::string content(64 << 20, 'x');
  for (size_t at = 0; at < content.size(); at += 4096) content[at] = static_cast<char>(at >> 12);
  write_file(source + "/large", content);
  Copy copy({{.id = 1, .kind = RootKind::tmpfs, .path = source}}, {{.id = 1, .path = destination}});
  EXPECT_EQ(copy.first().bytes_sent, content.size());
  const int fd = ::open((source + "/large").c_str(), O_WRONLY);
  ASSERT_EQ(::pwrite(fd, "changed", 7, 33'000'000), 7);
  ::close(fd);
  EXPECT_EQ(copy.final().bytes_sent, 65536U);
  EXPECT_EQ(differences(source, destination), "");
}

// Logs are rotated and databases replace their files by rename: that must not send the contents again.
TEST(FinalPassCost, MovedFilesAreNotSentAgain) {
  const Scratch scratch;
  const std::string source = scratch.tmpfs("source");
  const std::string destination = scratch.directory("destination");
  for (const char* name : {"log", "log.1", "dump", "temporary", "tree/a/b"}) {
    write_file(source + "/" + name, std::string(1 << 20, name[0]) + name);
  }
  Copy copy({{.id = 1, .kind = RootKind::tmpfs, .path = source}}, {{.id = 1, .path = destination}});
  copy.first();
  const auto move = [&](const char* from, const char* to) {
    std::filesystem::rename(source + "/" + from, source + "/" + to);
  };
  move("log.1", "log.2");
  move("log", "log.1");
  write_file(source + "/log", "new");
  move("temporary", "dump");
  move("tree", "moved");
  std::filesystem::create_directory(source + "/elsewhere");
  move("log.2", "elsewhere/log");
  const PassStats last = copy.final();
  EXPECT_EQ(last.bytes_sent, 3U);
  EXPECT_EQ(differences(source, destination), "");
}

}  // namespace
}  // namespace godwit::files
