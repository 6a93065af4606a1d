// Placing what userfaultfd does not serve, into a real process with real mappings of each kind.
#include "memory/eager_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "contents.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::pager_test {
namespace {

using memory::EagerWriter;
using memory::Pager;
using memory::PageStore;
using memory::stored_object;
using std::chrono::seconds;

constexpr uint32_t process = 9;
constexpr uint64_t file_tag = 0xf11e;

uint64_t address_of(const std::byte* memory) {
  return reinterpret_cast<uint64_t>(memory);
}

std::byte* map_pages(size_t pages, int protection, int flags, int fd = -1) {
  void* at = mmap(nullptr, pages * page, protection, flags, fd, 0);
  EXPECT_NE(at, MAP_FAILED) << std::strerror(errno);
  return static_cast<std::byte*>(at);
}

bool page_holds(const std::byte* at, uint64_t tag) {
  for (uint64_t i = 0; i < words; ++i) {
    uint64_t found = 0;
    std::memcpy(&found, at + i * sizeof found, sizeof found);
    if (found != word_of(tag, i)) return false;
  }
  return true;
}

// A child of ours with our mappings: made when they are, so that both know where everything is. It registers `lazy`
// pages for a userfaultfd, waits for the word, and then checks.
class Child {
 public:
  Child(std::byte* lazy, size_t lazy_pages, const std::function<bool()>& check) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    socket_.reset(pair[0]);
    const UniqueFd theirs(pair[1]);
    pid_ = fork();
    if (pid_ == 0) _exit(live(theirs.get(), lazy, lazy_pages, check));
    auto message = os::receive_message(socket_.get(), Deadline::after(seconds(20)));
    EXPECT_TRUE(message);
    if (message) userfaultfd_ = std::move(message->fd);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  UniqueFd take_userfaultfd() { return std::move(userfaultfd_); }
  bool check() {
    EXPECT_TRUE(os::send_message(socket_.get(), "go"));
    int status = 1;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return status == 0;
  }

 private:
  static int live(int socket, std::byte* lazy, size_t lazy_pages, const std::function<bool()>& check) {
    UniqueFd fd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
    uffdio_api api{};
    api.api = UFFD_API;
    if (ioctl(fd.get(), UFFDIO_API, &api) != 0) return 2;
    if (lazy != nullptr) {
      uffdio_register request{};
      request.range = {.start = address_of(lazy), .len = lazy_pages * page};
      request.mode = UFFDIO_REGISTER_MODE_MISSING;
      if (ioctl(fd.get(), UFFDIO_REGISTER, &request) != 0) return 3;
    }
    if (!os::send_message(socket, "ready", lazy != nullptr ? fd.get() : -1)) return 4;
    fd.reset();
    char word = 0;
    if (recv(socket, &word, 1, 0) != 1) return 5;
    return check() ? 0 : 1;
  }

  pid_t pid_ = -1;
  UniqueFd socket_;
  UniqueFd userfaultfd_;
};

class EagerWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = PageStore::create({});
    ASSERT_TRUE(made);
    store_ = std::move(*made);
  }
  void TearDown() override {
    for (const auto& [at, size] : mapped_) munmap(at, size);
  }
  // Maps in this process, for the child to inherit.
  std::byte* map(size_t pages, int protection, int flags, int fd = -1) {
    std::byte* at = map_pages(pages, protection, flags, fd);
    mapped_.emplace_back(at, pages * page);
    return at;
  }
  void put(uint32_t where, uint64_t address, uint64_t tag, uint32_t pages = 1) {
    for (uint32_t i = 0; i < pages; ++i) {
      auto memory = store_->place(where, address + i * page, 1);
      ASSERT_TRUE(memory);
      fill_page(memory->data(), tag);
    }
  }
  // A file of pages that all hold file_tag.
  static UniqueFd make_file(size_t pages) {
    char path[] = "/tmp/eager_writer_test.XXXXXX";
    UniqueFd fd(mkstemp(path));
    unlink(path);
    std::vector<std::byte> contents(pages * page);
    for (size_t i = 0; i < pages; ++i) fill_page(contents.data() + i * page, file_tag);
    EXPECT_TRUE(os::write_all(fd.get(), contents.data(), contents.size()));
    return fd;
  }
  void start_pager(Child& child, bool with_descriptor) {
    pager_ = std::make_unique<Pager>(*store_, memory::PagerOptions{});
    ASSERT_TRUE(pager_->start());
    if (with_descriptor) {
      ASSERT_TRUE(pager_->add(process, child.take_userfaultfd()));
    }
    ASSERT_TRUE(pager_->store_complete());
  }

  std::unique_ptr<PageStore> store_;
  std::unique_ptr<Pager> pager_;
  std::vector<std::pair<std::byte*, size_t>> mapped_;
};

TEST_F(EagerWriterTest, PrivateFileMappingTellsDataZeroAndFileApart) {
  const UniqueFd file = make_file(6);
  std::byte* writable = map(6, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get());
  std::byte* read_only = map(6, PROT_READ, MAP_PRIVATE, file.get());
  std::byte* no_access = map(6, PROT_NONE, MAP_PRIVATE, file.get());
  Child child(nullptr, 0, [=] {
    if (mprotect(no_access, 6 * page, PROT_READ) != 0) return false;
    for (const std::byte* at : {writable, read_only, no_access}) {
      if (!page_holds(at, 11) || !page_holds(at + page, 0) || !page_holds(at + 2 * page, file_tag) ||
          !page_holds(at + 3 * page, file_tag) || !page_holds(at + 4 * page, 12) ||
          !page_holds(at + 5 * page, file_tag)) {
        return false;
      }
    }
    return true;
  });
  for (const std::byte* at : {writable, read_only, no_access}) {
    put(process, address_of(at), 11);
    ASSERT_TRUE(store_->zero(process, address_of(at + page), 1));
    put(process, address_of(at + 3 * page), 13);
    ASSERT_TRUE(store_->drop(process, address_of(at + 3 * page), 1));
    put(process, address_of(at + 4 * page), 12);
  }
  start_pager(child, false);
  EagerWriter writer(*store_, *pager_);
  const auto written = writer.write_process(process, child.pid());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(writer.report().written_pages, 9U);
  EXPECT_EQ(writer.report().zeroed_pages, 3U);
  EXPECT_EQ(writer.report().lazy_pages, 0U);
  EXPECT_TRUE(writer.check_complete());
  EXPECT_EQ(store_->statistics().data_pages, 0U);
  EXPECT_TRUE(child.check());
  // The file itself is untouched.
  std::vector<std::byte> contents(6 * page);
  ASSERT_EQ(pread(file.get(), contents.data(), contents.size(), 0), static_cast<ssize_t>(contents.size()));
  for (size_t i = 0; i < 6; ++i) EXPECT_TRUE(page_holds(contents.data() + i * page, file_tag));
}

TEST_F(EagerWriterTest, LeavesToThePagerExactlyWhatIsLazy) {
  constexpr size_t pages = 1200;
  std::byte* lazy = map(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  std::byte* locked = map(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  Child child(lazy, pages, [=] {
    for (size_t i = 0; i < pages; ++i) {
      const uint64_t tag = i % 3 == 0 ? 21 : 0;
      if (!page_holds(lazy + i * page, tag) || !page_holds(locked + i * page, tag)) return false;
    }
    return true;
  });
  for (size_t i = 0; i < pages; i += 3) {
    put(process, address_of(lazy + i * page), 21);
    put(process, address_of(locked + i * page), 21);
    ASSERT_TRUE(store_->zero(process, address_of(locked + (i + 1) * page), 1));
  }
  start_pager(child, true);
  EagerWriter writer(*store_, *pager_);
  const auto written = writer.write_process(process, child.pid());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(writer.report().written_pages, pages / 3);
  EXPECT_EQ(writer.report().zeroed_pages, 0U) << "anonymous memory is zero without our doing";
  EXPECT_TRUE(writer.check_complete());
  ASSERT_TRUE(pager_->tasks_resume());
  const auto done = pager_->wait_done(Deadline::after(seconds(20)));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->pushed_pages, pages / 3);
  EXPECT_TRUE(child.check());
}

TEST_F(EagerWriterTest, NamesMemoryThatHasNoPlace) {
  std::byte* anonymous = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  std::byte* shared = map(4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  Child child(nullptr, 0, [] { return true; });
  start_pager(child, false);

  put(process, address_of(anonymous), 1);
  put(process, 0x10000, 31);
  auto written = EagerWriter(*store_, *pager_).write_process(process, child.pid());
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, testing::HasSubstr("0x10000 (1 pages) has no place"));
  ASSERT_TRUE(store_->drop(process, 0x10000, 1));

  ASSERT_TRUE(store_->zero(process, address_of(shared), 1));
  written = EagerWriter(*store_, *pager_).write_process(process, child.pid());
  EXPECT_FALSE(written) << "shared memory is stored as an object";
  ASSERT_TRUE(store_->drop(process, address_of(shared), 1));

  put(process, UINT64_MAX - 3 * page + 1, 31);
  EXPECT_FALSE(EagerWriter(*store_, *pager_).write_process(process, child.pid()));
  ASSERT_TRUE(store_->drop(process, UINT64_MAX - 3 * page + 1, 1));

  put(77, 0x5000, 1);
  put(stored_object(4), 0, 1);
  EagerWriter writer(*store_, *pager_);
  ASSERT_TRUE(writer.write_process(process, child.pid()));
  auto complete = writer.check_complete();
  ASSERT_FALSE(complete);
  EXPECT_THAT(complete.error().message, testing::HasSubstr("process 77 has 1 pages"));
  store_->drop_process(77);
  complete = writer.check_complete();
  ASSERT_FALSE(complete);
  EXPECT_THAT(complete.error().message, testing::HasSubstr("shared memory object 4 has 1 pages"));
}

TEST_F(EagerWriterTest, RefusesLazyMemoryThatNobodyServes) {
  std::byte* lazy = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  Child child(lazy, 4, [] { return true; });
  put(process, address_of(lazy), 1);
  start_pager(child, false);
  const UniqueFd keeps_it_registered = child.take_userfaultfd();
  const auto written = EagerWriter(*store_, *pager_).write_process(process, child.pid());
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, testing::HasSubstr("the pager was given none"));
}

TEST_F(EagerWriterTest, FillsSharedMemoryThroughAnyMapping) {
  constexpr size_t pages = 700;
  const uint32_t anonymous_object = stored_object(1);
  const uint32_t memfd_object = stored_object(2);
  std::byte* anonymous = map(pages, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  const UniqueFd memfd(memfd_create("shared", MFD_CLOEXEC));
  constexpr off_t odd_size = 3 * page + 100;
  ASSERT_EQ(ftruncate(memfd.get(), odd_size), 0);
  // Only a part is mapped, and only to read; what was there before is to become zero.
  std::byte* window = map(1, PROT_READ, MAP_SHARED, memfd.get());
  const std::string old(page, 'x');
  ASSERT_EQ(pwrite(memfd.get(), old.data(), old.size(), page), static_cast<ssize_t>(page));
  Child child(nullptr, 0, [=] { return page_holds(anonymous + 5 * page, 41) && page_holds(window, 42); });
  start_pager(child, false);

  for (size_t i = 5; i < pages; ++i) put(anonymous_object, i * page, 41);
  put(memfd_object, 0, 42);
  ASSERT_TRUE(store_->zero(memfd_object, page, 1));
  put(memfd_object, 3 * page, 43);
  EagerWriter writer(*store_, *pager_);
  auto written = writer.write_object_mapped(anonymous_object, child.pid(), address_of(anonymous));
  ASSERT_TRUE(written) << written.error().message;
  written = writer.write_object_mapped(memfd_object, child.pid(), address_of(window));
  ASSERT_TRUE(written) << written.error().message;
  // Once an object.
  EXPECT_TRUE(writer.write_object_mapped(memfd_object, child.pid(), 0x1000));
  EXPECT_TRUE(writer.check_complete());
  EXPECT_EQ(writer.report().shared_pages, pages - 5 + 3);
  EXPECT_TRUE(child.check());
  EXPECT_TRUE(page_holds(anonymous, 0));
  EXPECT_TRUE(page_holds(anonymous + (pages - 1) * page, 41));
  EXPECT_EQ(lseek(memfd.get(), 0, SEEK_END), odd_size) << "the end of the last page is not the object's";
  std::vector<std::byte> contents(4 * page);
  EXPECT_EQ(pread(memfd.get(), contents.data(), contents.size(), 0), odd_size);
  EXPECT_TRUE(page_holds(contents.data() + page, 0));
  std::vector<std::byte> last(page);
  fill_page(last.data(), 43);
  EXPECT_EQ(std::memcmp(contents.data() + 3 * page, last.data(), 100), 0);
}

TEST_F(EagerWriterTest, TellsWhyASharedObjectCannotBeFilled) {
  Child child(nullptr, 0, [] { return true; });
  start_pager(child, false);
  const UniqueFd memfd(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(memfd.get(), page), 0);
  put(stored_object(1), 0, 1);
  put(stored_object(1), page, 1);
  EagerWriter writer(*store_, *pager_);
  auto written = writer.write_object(stored_object(1), memfd.get());
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, testing::HasSubstr("restored shorter than it was"));
  ASSERT_EQ(fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  ASSERT_TRUE(store_->drop(stored_object(1), page, 1));
  written = writer.write_object(stored_object(1), memfd.get());
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, EPERM);
  EXPECT_FALSE(writer.write_object_mapped(stored_object(1), child.pid(), 0x1000));
}

// Reserves huge pages for the time of a test, if this machine gives any.
class HugePages {
 public:
  HugePages() {
    before_ = os::read_file("/proc/sys/vm/nr_hugepages").value_or("0");
    const bool asked = os::write_file("/proc/sys/vm/nr_hugepages", std::to_string(std::stoul(before_) + 4)).has_value();
    enough_ = asked && std::stoul(os::read_file("/proc/sys/vm/nr_hugepages").value_or("0")) >= std::stoul(before_) + 4;
  }
  ~HugePages() { (void)os::write_file("/proc/sys/vm/nr_hugepages", before_); }
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;
  [[nodiscard]] bool enough() const { return enough_; }

 private:
  std::string before_;
  bool enough_ = false;
};

TEST_F(EagerWriterTest, FillsHugePages) {
  const HugePages huge_pages;
  if (!huge_pages.enough()) GTEST_SKIP() << "no huge pages to be had";
  constexpr size_t pages = 512;
  std::byte* own = map(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
  std::byte* shared = map(pages, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB);
  Child child(nullptr, 0, [=] {
    return page_holds(own, 51) && page_holds(own + page, 0) && page_holds(own + 511 * page, 52) &&
           page_holds(shared + 3 * page, 53) && page_holds(shared + 4 * page, 0);
  });
  start_pager(child, false);
  put(process, address_of(own), 51);
  put(process, address_of(own + 511 * page), 52);
  put(stored_object(1), 3 * page, 53);
  ASSERT_TRUE(store_->zero(stored_object(1), 4 * page, 1));
  EagerWriter writer(*store_, *pager_);
  auto written = writer.write_process(process, child.pid());
  ASSERT_TRUE(written) << written.error().message;
  written = writer.write_object_mapped(stored_object(1), child.pid(), address_of(shared));
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_TRUE(writer.check_complete());
  EXPECT_TRUE(child.check());
}

}  // namespace
}  // namespace godwit::pager_test
