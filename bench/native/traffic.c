/*
 * Load between two network namespaces, and what came of it. Both ends run on one machine and share its monotonic clock,
 * so that the delay of a datagram is known one way.
 *
 *   traffic udp-sink PORT                              counts datagrams and their delay
 *   traffic udp-send ADDRESS PORT SIZE SECONDS RATE FLOWS    datagrams of SIZE bytes of payload; RATE a second, 0: flat out;
 *                                                      FLOWS sockets in turn, which have a port each
 *   traffic tcp-sink PORT                              counts bytes
 *   traffic tcp-send ADDRESS PORT STREAMS SECONDS      writes of 128 KiB, all streams from one thread
 *   traffic echo     PORT                              sends datagrams back
 *   traffic udp-rtt  ADDRESS PORT COUNT SECONDS        round trips one after the other, COUNT of them or SECONDS long
 *   traffic icmp-rtt ADDRESS COUNT SECONDS GAP         the same with ICMP echo: the far kernel answers, not a process;
 *                                                      as `ping -f`, it looks for the answer instead of sleeping until then;
 *                                                      GAP microseconds of sleep between two
 *
 * Sinks and echo say "ready" and run until SIGTERM. Everyone ends with one line of JSON; times in it are microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, DATAGRAM = 2048, BLOCK = 128 << 10, STREAMS = 16, FLOWS = 64, ICMP_FILTER_OPTION = 1 };
enum { PATIENCE_US = 100000 }; /* for an answer */

struct stamp {
  uint64_t sent_ns;
  uint64_t number;
};

static volatile sig_atomic_t over;

static void stop(int signal) {
  (void)signal;
  over = 1;
}

static void die(const char *what) {
  fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- times: buckets of a sixteenth of a power of two, so that a quantile is off by 3 % at most ---- */

static uint64_t buckets[64 * 16], samples, sum_ns;

static void note(uint64_t ns) {
  const int top = ns < 16 ? 3 : 63 - __builtin_clzll(ns);
  buckets[(top - 3) * 16 + ((ns >> (top - 4 < 0 ? 0 : top - 4)) & 15)]++;
  samples++;
  sum_ns += ns;
}

/* The middle of the bucket that the quantile falls into. */
static double quantile_us(double q) {
  uint64_t before = 0;
  const uint64_t rank = (uint64_t)(q * (double)(samples > 0 ? samples - 1 : 0));
  for (int i = 0; i < 64 * 16; i++) {
    before += buckets[i];
    if (before <= rank) continue;
    const int top = i / 16 + 3;
    if (top == 3) return i % 16 / 1e3;
    return ((double)((16ull + i % 16) << (top - 4)) + (double)(1ull << (top - 4)) / 2) / 1e3;
  }
  return 0;
}

static void print_times(const char *prefix) {
  printf("%s\"mean\":%.2f,\"p50\":%.2f,\"p99\":%.2f", prefix, samples ? (double)sum_ns / (double)samples / 1e3 : 0,
         quantile_us(0.5), quantile_us(0.99));
}

/* ---- sockets ---- */

static struct sockaddr_in address(const char *host, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
    fprintf(stderr, "traffic: %s is not an IPv4 address\n", host);
    exit(2);
  }
  return a;
}

static int bound(int type, int port) {
  const int s = socket(AF_INET, type, 0), one = 1, room = 8 << 20;
  if (s < 0) die("socket");
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (type == SOCK_DGRAM) setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  const struct sockaddr_in a = address("0.0.0.0", port);
  if (bind(s, (const void *)&a, sizeof a) != 0) die("bind");
  return s;
}

static int connected(int type, const char *host, int port) {
  const int s = socket(AF_INET, type, 0), room = 4 << 20;
  if (s < 0) die("socket");
  if (type == SOCK_DGRAM) setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  const struct sockaddr_in a = address(host, port);
  if (connect(s, (const void *)&a, sizeof a) != 0) die("connect");
  return s;
}

static void patience(int s, long us) {
  const struct timeval t = {us / 1000000, us % 1000000};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

static void ready(void) {
  printf("ready\n");
  fflush(stdout);
}

/* ---- datagrams ---- */

static char datagrams[BATCH][DATAGRAM];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static struct sockaddr_in peers[BATCH];

static void prepare(size_t size) {
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){datagrams[i], size};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
}

static void udp_sink(int port) {
  const int s = bound(SOCK_DGRAM, port);
  uint64_t count = 0;
  prepare(DATAGRAM);
  patience(s, 20000);
  ready();
  while (!over) {
    const int n = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
    const uint64_t t = now_ns();
    for (int i = 0; i < n; i++) {
      const struct stamp *stamp = (const void *)datagrams[i];
      if (messages[i].msg_len < sizeof *stamp) continue;
      count++;
      note(t > stamp->sent_ns ? t - stamp->sent_ns : 0);
    }
  }
  printf("{\"datagrams\":%lu,", count);
  print_times("");
  printf("}\n");
}

static void udp_send(const char *host, int port, size_t size, double seconds, double rate, int flows) {
  int sockets[FLOWS];
  if (flows < 1 || flows > FLOWS) flows = 1;
  for (int i = 0; i < flows; i++) sockets[i] = connected(SOCK_DGRAM, host, port);
  if (size < sizeof(struct stamp)) size = sizeof(struct stamp);
  if (size > DATAGRAM) size = DATAGRAM;
  prepare(size);
  const uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
  uint64_t count = 0, t;
  for (int next = 0; (t = now_ns()) < end && !over; next = (next + 1) % flows) {
    int n = BATCH;
    if (rate > 0) {
      const double due = (double)(t - start) / 1e9 * rate - (double)count;
      if (due < 1) continue;
      if (due < n) n = (int)due;
    }
    for (int i = 0; i < n; i++) *(struct stamp *)datagrams[i] = (struct stamp){t, count + (uint64_t)i};
    const int sent = sendmmsg(sockets[next], messages, (unsigned)n, 0);
    if (sent > 0) count += (uint64_t)sent;
  }
  printf("{\"datagrams\":%lu,\"seconds\":%.6f}\n", count, (double)(t - start) / 1e9);
}

static void echo(int port) {
  const int s = bound(SOCK_DGRAM, port);
  uint64_t count = 0;
  patience(s, 20000);
  ready();
  while (!over) {
    prepare(DATAGRAM);
    for (int i = 0; i < BATCH; i++) {
      messages[i].msg_hdr.msg_name = &peers[i];
      messages[i].msg_hdr.msg_namelen = sizeof peers[i];
    }
    const int n = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
    if (n <= 0) continue;
    for (int i = 0; i < n; i++) parts[i].iov_len = messages[i].msg_len;
    if (sendmmsg(s, messages, (unsigned)n, 0) > 0) count += (uint64_t)n;
  }
  printf("{\"datagrams\":%lu}\n", count);
}

/* ---- round trips ---- */

static uint16_t icmp_checksum(const uint8_t *bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons((uint16_t)~sum);
}

/* Sends question `number`, and waits for the answer to it; false where none comes within the socket's patience. */
static bool udp_trip(int s, uint64_t number) {
  struct stamp question[4] = {{.number = number}}, answer[4];
  if (send(s, question, sizeof question, 0) < 0) return false;
  while (recv(s, answer, sizeof answer, 0) >= (ssize_t)sizeof *answer) {
    if (answer[0].number == number) return true;
  }
  return false;
}

static bool icmp_trip(int s, uint64_t number) {
  struct {
    struct icmphdr icmp;
    uint8_t payload[56];
  } question = {.icmp = {.type = ICMP_ECHO}};
  const uint16_t id = htons((uint16_t)getpid()), sequence = htons((uint16_t)number);
  question.icmp.un.echo.id = id;
  question.icmp.un.echo.sequence = sequence;
  question.icmp.checksum = icmp_checksum((const uint8_t *)&question, sizeof question);
  if (send(s, &question, sizeof question, 0) < 0) return false;
  uint8_t packet[256];
  const uint64_t until = now_ns() + PATIENCE_US * 1000;
  while (now_ns() < until) {
    const ssize_t n = recv(s, packet, sizeof packet, MSG_DONTWAIT);
    if (n < 0) {
      sched_yield();
      continue;
    }
    const size_t header = (size_t)(packet[0] & 15) * 4;
    struct icmphdr answer;
    if ((size_t)n < header + sizeof answer) continue;
    memcpy(&answer, packet + header, sizeof answer);
    if (answer.type == ICMP_ECHOREPLY && answer.un.echo.id == id && answer.un.echo.sequence == sequence) return true;
  }
  return false;
}

static void round_trips(int s, bool (*trip)(int, uint64_t), long count, double seconds, long gap_us) {
  const uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
  long lost = 0, done = 0;
  patience(s, PATIENCE_US);
  for (; done < count && lost < 20 && now_ns() < end && !over; done++) {
    const uint64_t before = now_ns();
    if (trip(s, (uint64_t)done)) note(now_ns() - before);
    else lost++;
    if (gap_us > 0) nanosleep(&(struct timespec){gap_us / 1000000, gap_us % 1000000 * 1000}, NULL);
  }
  printf("{\"trips\":%lu,\"lost\":%ld,", samples, lost);
  print_times("");
  printf("}\n");
}

static int icmp_socket(const char *host) {
  const int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (s < 0) die("socket");
  const struct sockaddr_in a = address(host, 0);
  if (connect(s, (const void *)&a, sizeof a) != 0) die("connect");
  const uint32_t all_but_replies = ~(1u << ICMP_ECHOREPLY);
  setsockopt(s, SOL_RAW, ICMP_FILTER_OPTION, &all_but_replies, sizeof all_but_replies);
  return s;
}

/* ---- streams ---- */

static char block[BLOCK];

static void tcp_sink(int port) {
  struct pollfd set[1 + STREAMS] = {{.fd = bound(SOCK_STREAM, port), .events = POLLIN}};
  int n = 1;
  uint64_t bytes = 0, first = 0, last = 0;
  if (listen(set[0].fd, STREAMS) != 0) die("listen");
  ready();
  while (!over) {
    if (poll(set, (nfds_t)n, 20) <= 0) continue;
    for (int i = n - 1; i > 0; i--) {
      if (set[i].revents == 0) continue;
      const ssize_t got = recv(set[i].fd, block, sizeof block, MSG_DONTWAIT);
      if (got > 0) {
        last = now_ns();
        if (first == 0) first = last;
        bytes += (uint64_t)got;
      } else if (got == 0 || errno != EAGAIN) {
        close(set[i].fd);
        set[i] = set[--n];
      }
    }
    if (n <= STREAMS && set[0].revents & POLLIN) {
      const int s = accept(set[0].fd, NULL, NULL);
      if (s >= 0) set[n++] = (struct pollfd){.fd = s, .events = POLLIN};
    }
  }
  printf("{\"bytes\":%lu,\"seconds\":%.6f}\n", bytes, (double)(last - first) / 1e9);
}

static void tcp_send(const char *host, int port, int streams, double seconds) {
  struct pollfd set[STREAMS];
  uint64_t bytes = 0;
  if (streams < 1 || streams > STREAMS) streams = 1;
  for (int i = 0; i < streams; i++) set[i] = (struct pollfd){.fd = connected(SOCK_STREAM, host, port), .events = POLLOUT};
  const uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
  while (now_ns() < end && !over) {
    if (poll(set, (nfds_t)streams, 20) <= 0) continue;
    for (int i = 0; i < streams; i++) {
      if (set[i].revents == 0) continue;
      const ssize_t put = send(set[i].fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put > 0) bytes += (uint64_t)put;
      else if (errno != EAGAIN) die("send");
    }
  }
  printf("{\"bytes\":%lu,\"seconds\":%.6f}\n", bytes, (double)(now_ns() - start) / 1e9);
}

static int usage(void) {
  fprintf(stderr, "usage: traffic udp-sink PORT | udp-send ADDRESS PORT SIZE SECONDS RATE FLOWS | tcp-sink PORT\n"
                  "       | tcp-send ADDRESS PORT STREAMS SECONDS | echo PORT | udp-rtt ADDRESS PORT COUNT SECONDS\n"
                  "       | icmp-rtt ADDRESS COUNT SECONDS GAP\n");
  return 2;
}

int main(int argc, char **argv) {
  /* Whoever started us may be killed: then there is nobody to tell. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  const char *mode = argc > 1 ? argv[1] : "";
  char **arg = argv + 2;
  const int given = argc - 2;
  if (!strcmp(mode, "udp-sink") && given == 1) udp_sink(atoi(arg[0]));
  else if (!strcmp(mode, "udp-send") && given == 6) udp_send(arg[0], atoi(arg[1]), (size_t)atoi(arg[2]), atof(arg[3]), atof(arg[4]), atoi(arg[5]));
  else if (!strcmp(mode, "tcp-sink") && given == 1) tcp_sink(atoi(arg[0]));
  else if (!strcmp(mode, "tcp-send") && given == 4) tcp_send(arg[0], atoi(arg[1]), atoi(arg[2]), atof(arg[3]));
  else if (!strcmp(mode, "echo") && given == 1) echo(atoi(arg[0]));
  else if (!strcmp(mode, "udp-rtt") && given == 4) round_trips(connected(SOCK_DGRAM, arg[0], atoi(arg[1])), udp_trip, atol(arg[2]), atof(arg[3]), 0);
  else if (!strcmp(mode, "icmp-rtt") && given == 4) round_trips(icmp_socket(arg[0]), icmp_trip, atol(arg[1]), atof(arg[2]), atol(arg[3]));
  else return usage();
  return 0;
}
