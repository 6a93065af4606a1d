#pragma once

namespace godwit::lab {

// Waits for SIGINT or SIGTERM, which from now on end nothing by themselves. For a program with one thread.
void wait_for_interrupt();

}  // namespace godwit::lab
