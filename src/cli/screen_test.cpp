#include "cli/screen.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/unique_fd.h"
#include "os/file.h"

namespace godwit::cli {
namespace {

// As much of a terminal as Screen uses: printable bytes, \n, \r, cursor up, erase to the end of line and of screen.
class Terminal {
 public:
  explicit Terminal(size_t width) : width_(width) {}
  void feed(const std::string& text) {
    for (size_t at = 0; at < text.size(); ++at) {
      const char byte = text[at];
      if (byte == '\n') {
        ++row_;
        column_ = 0;  // the driver of a real one adds the \r
      } else if (byte == '\r') {
        column_ = 0;
      } else if (byte == '\x1b') {
        const size_t end = text.find_first_not_of("0123456789", at + 2);
        const std::string number = text.substr(at + 2, end - at - 2);
        escape(text[end], number.empty() ? 1 : std::stoul(number));
        at = end;
      } else {
        put(byte);
      }
    }
  }
  [[nodiscard]] std::string text() const {
    std::string all;
    for (const std::string& row : rows_) all += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
    return all.substr(0, all.find_last_not_of('\n') + 1);
  }

 private:
  void put(char byte) {
    if (column_ == width_) {
      ++row_;
      column_ = 0;
    }
    rows_.resize(std::max(rows_.size(), row_ + 1));
    rows_[row_].resize(std::max(rows_[row_].size(), column_ + 1), ' ');
    rows_[row_][column_++] = byte;
  }
  void escape(char final, size_t number) {
    rows_.resize(std::max(rows_.size(), row_ + 1));
    if (final == 'A') row_ -= std::min(row_, number);
    if (final == 'K') rows_[row_].resize(std::min(rows_[row_].size(), column_));
    if (final == 'J') {
      rows_[row_].resize(std::min(rows_[row_].size(), column_));
      rows_.resize(row_ + 1);
    }
  }
  size_t width_;
  std::vector<std::string> rows_;
  size_t row_ = 0;
  size_t column_ = 0;
};

class ScreenTest : public ::testing::Test {
 protected:
  ScreenTest() : out_(::mkstemp(path_.data())) {}
  ~ScreenTest() override { ::unlink(path_.c_str()); }
  [[nodiscard]] std::string written() const { return os::read_file(path_).value(); }
  [[nodiscard]] std::string shown(size_t width = 40) const {
    Terminal terminal(width);
    terminal.feed(written());
    return terminal.text();
  }

  std::string path_ = "/tmp/godwit-screen-XXXXXX";
  UniqueFd out_;
  Look live_{.live = true, .colour = false, .unicode = false, .width = 40};
};

TEST_F(ScreenTest, FinishedLinesStayAboveTheLiveOnes) {
  Screen screen(out_.get(), live_);
  screen.print(Line("one"));
  screen.set_live({Line("progress 1"), Line("more")});
  EXPECT_EQ(shown(), "one\nprogress 1\nmore");
  screen.set_live({Line("pro 2")});
  EXPECT_EQ(shown(), "one\npro 2") << "what was longer before leaves nothing behind";
  screen.print(Line("two"));
  EXPECT_EQ(shown(), "one\ntwo\npro 2");
  screen.draw({Line("three"), Line("four")}, {Line("a"), Line("b"), Line("c")});
  EXPECT_EQ(shown(), "one\ntwo\nthree\nfour\na\nb\nc");
  screen.set_live({});
  EXPECT_EQ(shown(), "one\ntwo\nthree\nfour");
}

TEST_F(ScreenTest, LiveLinesAreCutSoThatTheyNeverBreak) {
  Screen screen(out_.get(), live_);
  screen.set_live({Line(std::string(100, 'x'))});
  EXPECT_EQ(shown(), std::string(39, 'x'));
  screen.print(Line(std::string(60, 'y')));  // a finished line may break, and nothing of it is lost
  screen.set_live({});
  EXPECT_EQ(shown(), std::string(40, 'y') + "\n" + std::string(20, 'y'));
}

TEST_F(ScreenTest, AnUnchangedPictureWritesNothing) {
  Screen screen(out_.get(), live_);
  screen.set_live({Line("same")});
  const size_t size = written().size();
  screen.set_live({Line("same")});
  EXPECT_EQ(written().size(), size);
}

TEST_F(ScreenTest, TheLastLiveLinesGoWithTheScreen) {
  {
    Screen screen(out_.get(), live_);
    screen.print(Line("stays"));
    screen.set_live({Line("goes")});
  }
  EXPECT_EQ(shown(), "stays");
}

TEST_F(ScreenTest, WithoutATerminalThereAreOnlyPlainLines) {
  EXPECT_FALSE(detect_look(out_.get()).live);
  EXPECT_FALSE(detect_look(out_.get()).colour);
  Screen screen(out_.get(), Look{});
  screen.set_live({Line("progress")});
  screen.print(Line("done", Tone::good));
  EXPECT_EQ(written(), "done\n");
}

}  // namespace
}  // namespace godwit::cli
