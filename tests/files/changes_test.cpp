// What is hard to see or to carry: shared mappings, lost events, special files, hard links, mounts, equal copies.

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "files/watcher.h"
#include "scratch.h"

namespace godwit::files {
namespace {

namespace fs = std::filesystem;

std::vector<FileInUse> own_files() {
  const pid_t self = ::getpid();
  return files_in_use(std::span(&self, 1)).value_or(std::vector<FileInUse>());
}

// A source tree on a tmpfs and a destination.
class Changes : public ::testing::Test {
 protected:
  Copy start(const SourceOptions& options = {}) {
    return Copy({{.id = 1, .kind = RootKind::tmpfs, .path = source, .mount_point = source}},
                {{.id = 1, .path = destination}}, options);
  }
  [[nodiscard]] std::string at(const std::string& name) const { return source + "/" + name; }
  const Scratch scratch;
  const std::string source = scratch.tmpfs("source");
  const std::string destination = scratch.directory("destination");
};

struct Mapped {
  explicit Mapped(const std::string& path) : fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    struct stat info{};
    GODWIT_CHECK(fd && ::fstat(fd.get(), &info) == 0);
    size = static_cast<size_t>(info.st_size);
    data = static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
    GODWIT_CHECK(data != MAP_FAILED);
  }
  void unmap() { ::munmap(std::exchange(data, nullptr), size); }
  UniqueFd fd;
  size_t size = 0;
  char* data = nullptr;
};

// A tree that a second container sees elsewhere, where the first one has a tree of its own.
TEST_F(Changes, WritesThroughASharedMappingOfAnotherContainer) {
  const std::string own = scratch.tmpfs("own");
  write_file(at("mapped"), std::string(1 << 20, 'a'));
  write_file(own + "/mapped", "untouched");
  Mapped mapped(at("mapped"));
  mapped.data[500'000] = 'b';
  Copy copy(
      {{.id = 0, .path = own, .mount_point = source},
       {.id = 1, .path = source, .mount_point = "/shared", .other_views = {{.viewer = 1, .mount_point = source}}}},
      {{.id = 0, .path = scratch.directory("own-copy")}, {.id = 1, .path = destination}});
  copy.first();
  mapped.fd.reset();
  mapped.data[500'000] = 'c';
  std::vector<FileInUse> in_use = own_files();
  for (FileInUse& file : in_use) file.viewer = 1;
  const PassStats last = copy.final(in_use);
  EXPECT_EQ(last.bytes_sent, 65536U);
  mapped.unmap();
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, WritesThroughASharedMapping) {
  write_file(at("mapped"), std::string(1 << 20, 'a'));
  Mapped mapped(at("mapped"));
  mapped.data[5] = 'b';
  mapped.data[500'000] = 'b';
  Copy copy = start();
  copy.first();
  mapped.fd.reset();           // only the mapping keeps it
  mapped.data[500'000] = 'c';  // the page is dirty already: no trace of this anywhere
  const PassStats last = copy.final(own_files());
  EXPECT_EQ(last.bytes_sent, 65536U);
  mapped.unmap();
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, AFreezeThatComesToNothingIsFollowedByMorePasses) {
  write_file(at("file"), "one");
  Copy copy = start();
  copy.first();
  write_file(at("file"), "two");
  copy.final();
  EXPECT_EQ(read_file(destination + "/file"), "two");
  write_file(at("file"), "three");
  write_file(at("new"), "new");
  copy.next();
  write_file(at("file"), "four");
  copy.final();
  EXPECT_EQ(differences(source, destination), "");
  EXPECT_TRUE(copy.receiver_end());
}

TEST_F(Changes, AMappingThatIsGoneBeforeTheFreeze) {
  write_file(at("mapped"), std::string(1 << 20, 'a'));
  Mapped mapped(at("mapped"));
  mapped.data[500'000] = 'b';
  Copy copy = start();
  copy.first();
  mapped.data[500'000] = 'c';
  mapped.fd.reset();
  mapped.unmap();
  copy.final(own_files());
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, AMappingWhoseNameIsGoneButNotItsOtherName) {
  write_file(at("one"), std::string(1 << 20, 'a'));
  fs::create_hard_link(at("one"), at("two"));
  Mapped mapped(at("one"));
  mapped.data[500'000] = 'b';
  Copy copy = start();
  copy.first();
  fs::remove(at("one"));
  copy.next();
  mapped.data[500'000] = 'c';
  copy.final(own_files());
  mapped.unmap();
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, AFileThatCameAndWentBetweenTwoPasses) {
  fs::create_directory(at("directory"));
  Copy copy = start();
  copy.first();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  write_file(at("directory/brief"), "x");
  fs::remove(at("directory/brief"));
  copy.final(own_files());
  ASSERT_TRUE(copy.receiver_end());
  EXPECT_EQ(differences(source, destination, RootKind::tmpfs), "") << "the directory's time has changed";
}

TEST_F(Changes, AWriteByANameThatIsGone) {
  Copy copy = start();
  const UniqueFd fd(::open(at("temporary").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  fs::create_hard_link(at("temporary"), at("final"));
  fs::remove(at("temporary"));
  copy.first();
  ASSERT_EQ(::write(fd.get(), "late", 4), 4);
  copy.final();  // without a list of files in use: the event alone must do
  EXPECT_EQ(read_file(destination + "/final"), "late");
}

// Kernel AIO raises no event on tmpfs and disks.
TEST_F(Changes, KernelAsynchronousWrites) {
  write_file(at("aio"), std::string(8192, 'a'));
  const UniqueFd fd(::open(at("aio").c_str(), O_RDWR | O_CLOEXEC));
  Copy copy = start();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  copy.first();
  aio_context_t context = 0;
  ASSERT_EQ(::syscall(SYS_io_setup, 1, &context), 0);
  static const std::string bytes(4096, 'b');
  iocb write{};
  write.aio_fildes = static_cast<uint32_t>(fd.get());
  write.aio_lio_opcode = IOCB_CMD_PWRITE;
  write.aio_buf = reinterpret_cast<uint64_t>(bytes.data());
  write.aio_nbytes = bytes.size();
  iocb* list = &write;
  ASSERT_EQ(::syscall(SYS_io_submit, context, 1, &list), 1);
  io_event done{};
  ASSERT_EQ(::syscall(SYS_io_getevents, context, 1, 1, &done, nullptr), 1);
  ::syscall(SYS_io_destroy, context);
  copy.final(own_files());
  EXPECT_EQ(differences(source, destination), "");
}

// The kernel's queue holds 16384 events; nobody empties it here between two passes.
TEST_F(Changes, AnOverflownQueueMakesThePassCompareEverything) {
  for (int i = 0; i < 100; ++i) write_file(at(fmt::format("old{}", i)), "old");
  Copy copy = start({.drain_in_background = false});
  copy.first();
  EXPECT_EQ(copy.next().roots_walked, 0U);
  std::ifstream limit_file("/proc/sys/fs/fanotify/max_queued_events");
  int limit = 16384;
  limit_file >> limit;
  for (int i = 0; i < limit; ++i) {
    const UniqueFd fd(::open(at(fmt::format("new{}", i)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(fd);
  }
  write_file(at("old7"), "changed after the queue was full");
  fs::remove(at("old8"));
  EXPECT_EQ(copy.next().roots_walked, 1U);
  write_file(at("old9"), "and after that");
  EXPECT_EQ(copy.final().roots_walked, 0U);
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, TooManyDirtyPathsMakeThePassCompareEverything) {
  Copy copy = start({.dirty_paths_max = 10});
  copy.first();
  for (int i = 0; i < 20; ++i) write_file(at(fmt::format("f{}", i)), "x");
  EXPECT_EQ(copy.next().roots_walked, 1U);
  write_file(at("f3"), "y");
  EXPECT_EQ(copy.final().roots_walked, 0U);
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, TooManyDirectoriesToWatchAreWalked) {
  for (int i = 0; i < 20; ++i) write_file(at(fmt::format("d{}/f", i)), "x");
  Copy copy = start({.watched_directories_max = 10});
  EXPECT_EQ(copy.source().backend(1), Backend::watch);
  copy.first();
  EXPECT_EQ(copy.source().backend(1), Backend::walk);
  EXPECT_THAT(copy.source().backend_reason(1), ::testing::HasSubstr("more than 10 directories"));
  EXPECT_EQ(copy.source().pending_paths(), SIZE_MAX);
  write_file(at("d7/f"), "y");
  EXPECT_EQ(copy.final().roots_walked, 1U);
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, SpecialFilesAndMetadata) {
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0640), 0);
  ASSERT_EQ(::mknod(at("null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::mknod(at("disk").c_str(), S_IFBLK | 0600, makedev(7, 42)), 0);
  ASSERT_EQ(::mknod(at("socket").c_str(), S_IFSOCK | 0755, 0), 0);
  fs::create_symlink("/etc/passwd", at("absolute"));
  fs::create_symlink(std::string(4000, 'l'), at("long"));
  fs::create_hard_link(at("fifo"), at("fifo2"));
  ASSERT_EQ(::lchown(at("absolute").c_str(), 12, 34), 0);
  ASSERT_EQ(::lsetxattr(at("absolute").c_str(), "trusted.mark", "x", 1, 0), 0);
  write_file(at("suid"), "#!");
  ASSERT_EQ(::chown(at("suid").c_str(), 1000, 1000), 0);
  ASSERT_EQ(::chmod(at("suid").c_str(), 06755), 0);
  // cap_net_raw+ep, as in linux/capability.h: version 2, effective; permitted 1 << 13
  const uint32_t capability[5] = {0x02000001, 1U << 13, 0, 0, 0};
  ASSERT_EQ(::setxattr(at("suid").c_str(), "security.capability", capability, sizeof capability, 0), 0);
  fs::create_directory(at("inherit"));
  // default:user::rwx,group::r-x,other::---, as in posix_acl_xattr.h
  const uint32_t acl[] = {2, 1U | (7U << 16), ~0U, 4U | (5U << 16), ~0U, 0x20U, ~0U};
  ASSERT_EQ(::setxattr(at("inherit").c_str(), "system.posix_acl_default", acl, sizeof acl, 0), 0) << strerror(errno);
  write_file(at("inherit/child"), "has the inherited ACL");
  const UniqueFd sparse(::open(at("sparse").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(sparse.get(), 1LL << 30), 0);
  ASSERT_EQ(::pwrite(sparse.get(), "island", 6, 700'000'001), 6);
  const timespec ancient[2] = {{0, UTIME_OMIT}, {-5, 999'999'999}};
  ASSERT_EQ(::utimensat(AT_FDCWD, at("fifo").c_str(), ancient, 0), 0);
  write_file(at("odd \n\t\xff name"), "x");

  Copy copy = start();
  const PassStats first = copy.first();
  EXPECT_LT(first.bytes_sent, 100'000U);
  write_file(at("inherit/later"), "made when the destination has the default ACL already");
  fs::remove(at("absolute"));
  fs::create_symlink("elsewhere", at("absolute"));
  ASSERT_EQ(::chmod(at("null").c_str(), 0600), 0);
  copy.final();
  EXPECT_EQ(differences(source, destination), "");
  struct stat info{};
  ASSERT_EQ(::stat((destination + "/sparse").c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, 200'000);
}

TEST_F(Changes, HardLinksFollowTheirInode) {
  write_file(at("a"), "one");
  write_file(at("b"), "other");
  Copy copy = start();
  copy.first();
  fs::create_hard_link(at("a"), at("c"));  // the first link of a file that was sent alone
  copy.next();
  struct stat one{};
  struct stat two{};
  ASSERT_EQ(::stat((destination + "/a").c_str(), &one) + ::stat((destination + "/c").c_str(), &two), 0);
  EXPECT_EQ(one.st_ino, two.st_ino);
  write_file(at("c"), "through the link");
  fs::remove(at("a"));
  fs::rename(at("b"), at("a"));  // another inode by the old name: the link must not follow
  fs::create_hard_link(at("c"), at("d"));
  copy.final();
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, FilesAndDirectoriesTakeEachOthersPlace) {
  write_file(at("x/deep/file"), "1");
  write_file(at("y"), "2");
  fs::create_symlink("x", at("z"));
  Copy copy = start();
  copy.first();
  fs::remove_all(at("x"));
  fs::rename(at("y"), at("x"));
  fs::create_directory(at("y"));
  write_file(at("y/deep/file"), "3");
  fs::remove(at("z"));
  write_file(at("z/inside"), "4");
  copy.final();
  EXPECT_EQ(differences(source, destination), "");
}

TEST_F(Changes, MountPointsBelowArriveEmpty) {
  fs::create_directories(at("pts/hidden"));
  write_file(at("console"), "hidden");
  ASSERT_EQ(::mount("tmpfs", at("pts").c_str(), "tmpfs", 0, ""), 0);
  write_file(at("pts/elsewhere"), "not part of this tree");
  write_file(scratch.path("device"), "not part of it either");
  ASSERT_EQ(::mount(scratch.path("device").c_str(), at("console").c_str(), nullptr, MS_BIND, nullptr), 0);
  Copy copy = start();
  copy.first();
  write_file(at("pts/more"), "x");
  write_file(at("console"), "y");
  copy.final(own_files());
  EXPECT_TRUE(fs::is_directory(destination + "/pts"));
  EXPECT_TRUE(fs::is_empty(destination + "/pts"));
  EXPECT_EQ(fs::file_size(destination + "/console"), 0U);
}

TEST_F(Changes, DirectoriesThatComeAndGoLeaveNoMarks) {
  const auto watcher = FileWatcher::create({});
  ASSERT_TRUE(watcher);
  for (int i = 0; i < 50; ++i) {
    fs::create_directory(at("d"));
    const UniqueFd fd(::open(at("d").c_str(), O_PATH | O_CLOEXEC));
    ASSERT_TRUE((*watcher)->watch_directory(1, "d", fd.get()));
    fs::remove(at("d"));
  }
  (*watcher)->collect(1);
  EXPECT_EQ((*watcher)->watched_directories(), 0U);
}

// A process in its own mount namespace with a tmpfs on /tmp, reached through /proc/PID/root.
TEST(Namespaces, AMountOfAnotherNamespaceIsReachedThroughProc) {
  const Scratch scratch;
  const std::string destination = scratch.directory("destination");
  const std::string where = scratch.directory("inside");
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("tmpfs", where.c_str(), "tmpfs", 0, "") == 0;
    const int fd = ::open((where + "/private").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const bool wrote = ::write(fd, "secret", 6) == 6;
    const char ok = mounted && wrote ? 'y' : 'n';
    if (::write(ready[1], &ok, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char ok = 0;
  ASSERT_EQ(::read(ready[0], &ok, 1), 1);
  ASSERT_EQ(ok, 'y');
  const std::string seen = fmt::format("/proc/{}/root{}", child, where);
  {
    Copy copy({{.id = 1, .kind = RootKind::tmpfs, .path = seen, .mount_point = where}},
              {{.id = 1, .path = destination}});
    EXPECT_EQ(copy.source().backend(1), Backend::watch) << copy.source().backend_reason(1);
    copy.first();
    write_file(seen + "/later", "more");
    const auto in_use = files_in_use(std::span(&child, 1));
    ASSERT_TRUE(in_use);
    EXPECT_THAT(*in_use, ::testing::Contains(::testing::Field(&FileInUse::path, where + "/private")));
    copy.final(*in_use);
    EXPECT_EQ(differences(seen, destination), "");
    EXPECT_EQ(read_file(destination + "/private"), "secret");
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);

  // The same path, where the container has made a symbolic link to the node's files of what should be a directory.
  fs::create_directory_symlink("/etc", scratch.path("link"));
  const auto streams = make_streams();
  const auto refused = FileSource::open({{.id = 1, .path = fmt::format("/proc/self/root{}/link", scratch.path("."))}},
                                        {}, *streams.first);
  EXPECT_FALSE(refused);
}

TEST(Overlays, OpaqueDirectoriesAndWhiteouts) {
  const Scratch scratch;
  const Overlay overlay(scratch);
  write_file(overlay.lower + "/dir/a", "a");
  write_file(overlay.lower + "/dir/b", "b");
  write_file(overlay.lower + "/gone", "x");
  write_file(overlay.lower + "/gone-too", "x");
  write_file(overlay.lower + "/kept/deep/er/file", "kept");
  overlay.mount();
  Overlay moved(scratch, "moved");
  Copy copy({{.id = 1, .kind = RootKind::overlay_upper, .path = overlay.upper, .mount_point = overlay.merged}},
            {{.id = 1, .path = moved.upper}});
  copy.first();
  fs::remove(overlay.merged + "/gone");
  fs::remove_all(overlay.merged + "/dir");
  copy.next();
  fs::remove(overlay.merged + "/gone-too");
  fs::create_directory(overlay.merged + "/dir");
  write_file(overlay.merged + "/dir/c", "c");
  write_file(overlay.merged + "/kept/deep/er/file", "copied up, in a directory that nobody watched");
  const PassStats last = copy.final();
  EXPECT_EQ(last.roots_walked, 0U);
  char opaque = 0;
  EXPECT_EQ(::getxattr((moved.upper + "/dir").c_str(), "trusted.overlay.opaque", &opaque, 1), 1);
  EXPECT_EQ(opaque, 'y');
  EXPECT_EQ(differences(overlay.upper, moved.upper, RootKind::overlay_upper), "");
  moved.lower = overlay.lower;
  moved.mount();
  EXPECT_EQ(differences(overlay.merged, moved.merged), "");
}

TEST(QuickCheck, EqualFilesAreNotSentAndStrangersRemoved) {
  const Scratch scratch;
  const std::string source = scratch.directory("source");
  const std::string destination = scratch.directory("destination");
  for (int i = 0; i < 50; ++i) write_file(fmt::format("{}/d{}/f", source, i), std::string(1000, 'x'));
  fs::create_symlink("f", source + "/d1/link");
  {
    Copy copy({{.id = 1, .path = source}}, {{.id = 1, .path = destination}});
    copy.first();
    copy.final();
  }
  write_file(source + "/d7/f", std::string(1000, 'y'));
  write_file(source + "/new", "new");
  fs::remove(source + "/d8/f");
  write_file(destination + "/d9/stranger/deep", "?");
  write_file(destination + "/d3/f", std::string(1000, 'z'));
  ASSERT_EQ(::setxattr((source + "/d4/f").c_str(), "trusted.mark", "x", 1, 0), 0);
  Copy copy({{.id = 1, .path = source, .quick_check = true}}, {{.id = 1, .path = destination}});
  EXPECT_EQ(copy.first().bytes_sent, 2003U);
  EXPECT_EQ(differences(source, destination), "");
  write_file(source + "/d5/f", std::string(1000, 'w'));  // of which no hashes are known
  copy.final();
  EXPECT_EQ(differences(source, destination), "");
}

// Of 40 equal files the destination may tell 10: the others are sent once more, and all is well.
TEST(QuickCheck, FilesBeyondTheDestinationsLimitAreSentAgain) {
  const Scratch scratch;
  const std::string source = scratch.directory("source");
  const std::string destination = scratch.directory("destination");
  for (int i = 0; i < 40; ++i) write_file(fmt::format("{}/d{}/f", source, i), std::string(1000, 'x'));
  {
    Copy copy({{.id = 1, .path = source}}, {{.id = 1, .path = destination}});
    copy.first();
    copy.final();
  }
  Copy copy({{.id = 1, .path = source, .quick_check = true}}, {{.id = 1, .path = destination}}, {},
            {.present_files_max = 10});
  EXPECT_EQ(copy.first().bytes_sent, 30'000U);
  copy.final();
  EXPECT_EQ(differences(source, destination), "");
}

TEST(QuickCheck, ADestinationThatTellsWithoutEndIsNotListenedTo) {
  const Scratch scratch;
  const std::string source = scratch.directory("source");
  const std::string destination = scratch.directory("destination");
  for (int i = 0; i < 20; ++i) write_file(fmt::format("{}/f{}", destination, i), "x");
  Copy copy({{.id = 1, .path = source, .quick_check = true}}, {{.id = 1, .path = destination}},
            {.present_files_max = 19});
  const auto pass = copy.source().first_pass({}, soon());
  ASSERT_FALSE(pass.has_value());
  EXPECT_THAT(pass.error().message, testing::HasSubstr("more than 19 files"));
}

}  // namespace
}  // namespace godwit::files
