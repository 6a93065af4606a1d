// x86-64: System V ABI for system calls; rcx and r11 are lost in a call, and restored with all others.
#include "os/ptrace.h"

#ifndef __x86_64__
#error "os/ptrace.h has to be written for this architecture: registers, system call instruction, restart rules"
#endif

#include <sys/syscall.h>

#include <algorithm>

namespace godwit::os::arch {
namespace {

constexpr uint64_t user_code_segment_64 = 0x33;

// Calls that return EINTR after any stop, even one without a signal (signal(7), "Interruption of system calls by stop
// signals"), and those that do so for a socket with a timeout. All of them have done nothing when they return EINTR.
constexpr std::array retried = {
    SYS_epoll_wait,   SYS_epoll_pwait,   SYS_epoll_pwait2, SYS_rt_sigtimedwait, SYS_semop,    SYS_semtimedop,
    SYS_io_getevents, SYS_io_pgetevents, SYS_read,         SYS_readv,           SYS_recvfrom, SYS_recvmsg,
    SYS_recvmmsg,     SYS_accept,        SYS_accept4,      SYS_write,           SYS_writev,   SYS_sendto,
    SYS_sendmsg,      SYS_sendmmsg,
};

}  // namespace

const std::array<uint8_t, 2> syscall_instruction = {0x0f, 0x05};

user_regs_struct call_registers(const user_regs_struct& saved, uint64_t address, int64_t number,
                                const std::array<uint64_t, 6>& arguments) {
  user_regs_struct registers = saved;
  registers.rip = address;
  registers.rax = static_cast<uint64_t>(number);
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = arguments[4];
  registers.r9 = arguments[5];
  registers.orig_rax = ~0ULL;  // not in a system call: nothing to restart
  return registers;
}

int64_t call_result(const user_regs_struct& registers) {
  return static_cast<int64_t>(registers.rax);
}

bool can_call(const user_regs_struct& registers) {
  return registers.cs == user_code_segment_64;
}

bool in_syscall(const user_regs_struct& registers) {
  return static_cast<int64_t>(registers.orig_rax) >= 0;
}

std::optional<user_regs_struct> retry_interrupted(const user_regs_struct& saved) {
  if (!in_syscall(saved) || static_cast<int64_t>(saved.rax) != -EINTR) return std::nullopt;
  if (std::ranges::find(retried, static_cast<long>(saved.orig_rax)) == retried.end()) return std::nullopt;
  user_regs_struct registers = saved;
  registers.rax = saved.orig_rax;
  registers.rip -= syscall_instruction.size();
  registers.orig_rax = ~0ULL;
  return registers;
}

uint64_t program_counter(const user_regs_struct& registers) {
  return registers.rip;
}

void set_program_counter(user_regs_struct& registers, uint64_t address) {
  registers.rip = address;
}

}  // namespace godwit::os::arch
