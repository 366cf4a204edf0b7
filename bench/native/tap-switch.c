/*
 * The floor for a switch in userspace: the least that a program in C can do between TAPs. It learns, forwards and floods,
 * one read() and one write() a frame, asleep in poll() when there is nothing to do. Super-frames and missing checksums cross
 * as they come, their virtio-net header in front. It has no ageing, VLANs, counters or checks.
 *
 *   tap-switch NAMESPACE...     a TAP named e0 in each, MTU 1500, up; says "ready", and runs until it is killed
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS = 16, SLOTS = 4096, VIRTIO_HEADER = 10, LONGEST = VIRTIO_HEADER + 65553, TURN = 64 };

static struct {
  uint64_t mac;
  int port;
} table[SLOTS];

static uint8_t frame[LONGEST + 1];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int open_tap(const char *netns) {
  char path[512];
  snprintf(path, sizeof path, "/run/netns/%s", netns);
  const int ns = open(path, O_RDONLY | O_CLOEXEC);
  if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) die(path);
  close(ns);
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_name = "e0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) die("TUNSETIFF");
  if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) die("TUNSETOFFLOAD");
  const int s = socket(AF_INET, SOCK_DGRAM, 0);
  request.ifr_flags = IFF_UP;
  if (s < 0 || ioctl(s, SIOCSIFFLAGS, &request) != 0) die("SIOCSIFFLAGS");
  close(s);
  return fd;
}

static uint64_t mac_at(const uint8_t *bytes) {
  uint64_t mac = 0;
  memcpy(&mac, bytes, 6);
  return mac;
}

static unsigned slot_of(uint64_t mac) {
  return (unsigned)((mac * 0x9e3779b97f4a7c15ull) >> 52);
}

int main(int argc, char **argv) {
  const int ports = argc - 1;
  struct pollfd set[PORTS];
  if (ports < 2 || ports > PORTS) {
    fprintf(stderr, "usage: tap-switch NAMESPACE NAMESPACE...\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < ports; i++) set[i] = (struct pollfd){.fd = open_tap(argv[i + 1]), .events = POLLIN};
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    if (poll(set, (nfds_t)ports, -1) < 0) continue;
    for (int in = 0; in < ports; in++) {
      if (set[in].revents == 0) continue;
      for (int turn = 0; turn < TURN; turn++) {
        const ssize_t n = read(set[in].fd, frame, sizeof frame);
        if (n < VIRTIO_HEADER + 14 || n > LONGEST) break;
        const uint64_t to = mac_at(frame + VIRTIO_HEADER), from = mac_at(frame + VIRTIO_HEADER + 6);
        const unsigned home = slot_of(from), target = slot_of(to);
        table[home].mac = from;
        table[home].port = in;
        const int only = !(to & 1) && table[target].mac == to ? table[target].port : -1;
        for (int out = 0; out < ports; out++) {
          if (out == in || (only >= 0 && out != only)) continue;
          const ssize_t put = write(set[out].fd, frame, (size_t)n);
          (void)put; /* what a full queue refuses is lost, as on any switch */
        }
      }
    }
  }
}
