// The meeting of a job's processes at its start: rank 0 listens, the others come to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/message_socket.h"
#include "base/process_place.h"

namespace uvic::base {

/// What the messages between processes are, by their first letter.
enum MessageType : char {
  kHello = 'H',    ///< from a process: who it is
  kWelcome = 'W',  ///< from rank 0: all have come
  kRefusal = 'R',  ///< from rank 0: and why
  kBeat = 'B',     ///< both ways: alive; what the sender waits for, or 0
  kFailure = 'F',  ///< from a process: why it ends
  kAbort = 'A',    ///< from rank 0: why all end
  kStop = 'S',     ///< both ways: the signal that asks to stop
  kGoodbye = 'G',  ///< both ways: nothing more to do
};

struct Peer {
  int64_t rank = 0;
  std::string host;     ///< its host's name
  int64_t pid = 0;      ///< there
  std::string machine;  ///< equal on one machine
  std::string cores;    ///< the cores that it may use there
  std::unique_ptr<MessageSocket> socket;

  /// "rank 1 of 4 (host a, process 123)".
  std::string name(int64_t size) const;
};

/// All that a process knows once it has met the others.
struct Meeting {
  std::vector<Peer> peers;  ///< of rank 0: every other rank; of the others: rank 0 alone
  int listening = -1;       ///< of rank 0: where late processes are refused
  int64_t store_port = 0;   ///< of c10d's store at rank 0
  std::string store_host;   ///< where this process reaches it
  std::string own_address;  ///< at which the others reach this process
  int64_t sharing = 1;      ///< processes that may use just the cores of this one
  std::string host;         ///< this process's: its name
  std::string machine;      ///< and what is equal in all processes of its machine
};

struct MeetingOptions {
  double timeout_sec = 60;
  std::string version;     ///< of the program; all must have the same
  int64_t store_port = 0;  ///< of rank 0: where its store listens
};

/// Returns when all place.size processes have come; of one process at once. Each waits timeout_sec
/// from its own start. Throws std::runtime_error that says which ranks did not come, or why rank 0
/// refused this one: another version, job or number of processes, or a rank that is taken.
Meeting meet(const ProcessPlace& place, const MeetingOptions& options);

}  // namespace uvic::base
