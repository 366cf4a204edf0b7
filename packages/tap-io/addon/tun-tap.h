/*
 * tun-tap: what the kernel offers for virtual network devices, for Node on Node-API 8.
 *
 *   addon.c     the exported functions, and the checks of their arguments
 *   handle.c    what is open: JavaScript holds small numbers, never pointers
 *   netns.c     work inside another network namespace, on a thread that lives just for it; namespaces made and removed
 *   configure.c interfaces in a namespace: addresses, routes, neighbours, keys of /proc/sys/net
 *   device.c    create, attach and set up a TAP or TUN; move it to another namespace
 *   frames.c    batches of frames between a TAP and the arena of a frame pool
 *   packet.c    a packet socket on an interface that exists, and its batches
 *   udp.c       UDP sockets as an underlay; udp-send.c, udp-cut.c and udp-receive.c are their batches, sum.h checksums
 *   wait.c      waiting for several descriptors: on Node's event loop, or blocking on a worker thread
 *   icmp.c      a socket for ICMP echo
 *
 * TypeScript checks all arguments and explains all errors. C checks again whatever could make it touch memory that is
 * not its own: rows, offsets and lengths come from columns that anybody may have written to.
 *
 * There is no static mutable state: every thread that loads the addon has an `instance` of its own.
 */
#ifndef TUN_TAP_H
#define TUN_TAP_H

#define _GNU_SOURCE
#define NAPI_VERSION 8

#include <linux/if_tun.h>
#include <net/if.h>
#include <node_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of newer kernels than the headers may be. */
#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

/* ---- handle.c ---- */

enum kind { NOTHING = 0, TAP, SOCKET, WAITER, UDP, PACKET };

struct watch;
struct udp;

/* The columns of a frame pool, and what else batches need. Typed arrays are kept alive by `refs`. */
enum { ARRAYS = 13 };

struct pool {
  uint8_t *bytes;
  uint64_t size;
  uint32_t *off, *len;
  uint8_t *flags, *gso_type;
  uint16_t *gso_size, *hdr_len, *csum_start, *csum_offset, *outer_l4, *inner_l3;
  uint32_t *rows;
  int32_t *result;
  uint32_t frames, stride, frame_size, capacity;
  bool bound;
  napi_ref refs[ARRAYS];
};

struct handle {
  enum kind kind;
  int fd;              /* what all work is done on: of a port a number that nobody else is told */
  int shown;           /* of a port, the number that its owner waits for: the same open file; else -1 */
  struct pool pool;    /* of a port */
  bool tun;            /* of a TAP: it is a TUN */
  uint32_t header;     /* of a TAP or PACKET: bytes of its virtio-net header, 0 without */
  struct udp *udp;     /* of a UDP */
  struct watch *watch; /* of a WAITER that is on the event loop */
};

struct instance {
  struct handle **table;
  uint32_t size;
};

struct instance *instance_new(void);
void instance_free(napi_env env, void *data, void *hint);
/* Takes `fd` into the table; gives its number, or -1 with the descriptor closed where memory is short. */
int32_t handle_new(struct instance *at, enum kind kind, int fd);
struct handle *handle_get(struct instance *at, uint32_t number, enum kind kind);
/* Shows the descriptor of a handle to its owner, and does the work on a second one from now on: false with errno. */
bool handle_show(struct handle *h);
/* 0 while the number shown is the open file that it was, else EBADF: closed by somebody, or ENOTTY: something else now. */
int handle_shown(const struct handle *h);
/* Closes a handle and everything it holds, but not a number that was shown and is not ours any more. */
void handle_close(napi_env env, struct instance *at, uint32_t number);
/* Closes many, which are open: the kernel takes its time (20 to 30 ms) for each TAP, and does many at once in less. */
void handle_close_all(napi_env env, struct instance *at, const uint32_t *numbers, size_t count);

/* ---- netns.c ---- */

/* Runs `work(arg)` inside the namespace that `ns` is a descriptor of, or here where `ns` is -1. Gives 0 or an errno: that
 * of getting there, not of the work. */
int in_netns(int ns, void (*work)(void *), void *arg);

/* Starts a thread that no signal is delivered to; 0 or an errno. */
int start_thread(pthread_t *thread, void *(*work)(void *), void *arg);

/* Makes a network namespace of that name, as `ip netns add` does. Gives an errno. */
int netns_make(const char *path);

/* Takes away the name of a network namespace, as `ip netns del` does: it ends when nothing uses it. Gives an errno. */
int netns_remove(const char *path);

/* ---- configure.c ---- */

struct configure_request {
  /* in */
  const char *netns;
  char *keys; /* lines "path=value\n", which are taken apart */
  const uint8_t *messages;
  size_t size;
  /* out */
  int done;  /* how many messages were taken before one was not; -1: it did not come to that */
  int error; /* errno, 0 where all went well */
};

struct find_request {
  char device[IFNAMSIZ];
  int index;
};

void configure(struct configure_request *request);
/* The number of an interface, or an errno below 0. */
int interface_index(const char *netns, const char device[IFNAMSIZ]);

/* ---- device.c ---- */

/* What a failed call was doing; the order is that of STEPS in src/native.ts. */
enum step {
  STEP_NONE,
  STEP_NETNS_OPEN,
  STEP_NETNS_ENTER,
  STEP_TUN_OPEN,
  STEP_TUNSETIFF,
  STEP_VNETHDRSZ,
  STEP_OFFLOAD,
  STEP_PERSIST,
  STEP_MAC,
  STEP_MTU,
  STEP_UP,
  STEP_INFO,
  STEP_MOVE,
  STEP_SOCKET,
  STEP_CONNECT,
  STEP_BINDTODEVICE,
  STEP_MEMORY,
  STEP_QUEUE_LENGTH,
  STEP_BIND,
  STEP_GROUP,
  STEP_PACKET,
  STEP_FANOUT
};

struct outcome {
  enum step step;
  int error; /* errno, 0 where all went well */
};

enum { PATH_SIZE = 4096, MAC_SIZE = 6 };

struct device_request {
  /* in */
  const char *netns; /* path, or NULL for here */
  char name[IFNAMSIZ];
  bool tun, multi_queue, vnet, tunnels, up;
  int persist; /* -1 leave as it is */
  bool set_mac;
  uint8_t mac[MAC_SIZE];
  int mtu;          /* 0 leave as it is */
  int queue_length; /* 0 leave as it is */
  /* out */
  int fd;
  uint32_t offloads; /* TUN_F_ bits that are on */
  uint32_t header;   /* bytes of the virtio-net header */
  struct outcome outcome;
};

struct device_info {
  char name[IFNAMSIZ];
  uint32_t tun_flags;
  uint8_t mac[MAC_SIZE];
  int index, mtu, queue_length;
  bool up;
};

void device_open(struct device_request *request);
struct outcome device_info(int fd, struct device_info *info);
struct outcome device_set_mac(int fd, const uint8_t mac[MAC_SIZE]);
struct outcome device_set_mtu(int fd, int mtu);
struct outcome device_set_up(int fd, bool up);
struct outcome device_set_persist(int fd, bool persist);
struct outcome device_move(int fd, const char *netns);
/* 0 while the descriptor is a TAP or TUN whose device exists, else an errno: EBADFD the device is gone. */
int device_check(int fd);

/* ---- frames.c: a TAP's batches ---- */

/* virtio 1.2, 5.1.6, of which a port uses as many bytes as its header has: 10, 12, or 24 where tunnels are told of. In native
 * byte order, which is what a TAP speaks unless told otherwise, but for the last two, which are little-endian. */
struct virtio_header {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
  uint16_t num_buffers;
  uint32_t hash;
  uint16_t hash_report, padding;
  uint16_t outer_l4, inner_l3;
};

enum { NEEDS_CSUM = 1, DATA_VALID = 2, TUNNEL_CSUM = 8 };
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_UDP_L4 = 5, GSO_KIND = 0x1f };
enum { GSO_TUNNEL_V4 = 0x20, GSO_TUNNEL_V6 = 0x40, GSO_TUNNEL = 0x60, GSO_ECN = 0x80 };
enum { ETHERNET_HEADER = 14 };

/* Reads a column once: other threads may write to it. */
#define ONCE(x) (*(volatile const __typeof__(x) *)&(x))

/* Indices of `result`, the same as in src/native.ts. */
enum { RESULT_ERROR, RESULT_OVERSIZE, RESULT_RUNT, RESULT_BAD_OFFLOAD, RESULT_LONGEST, RESULT_STATUS };

/* What became of a frame that was to be written: 0 sent, above 0 an errno, below 0 one of these. */
enum {
  STATUS_OUTSIDE = -1,
  STATUS_RUNT = -2,
  STATUS_BAD_OFFLOAD = -3,
  STATUS_NOT_IP = -4,
  STATUS_MALFORMED = -5,
  STATUS_FRAGMENT = -6
};

uint32_t frames_read(struct handle *h, uint32_t count);
uint32_t frames_write(struct handle *h, uint32_t count);
uint32_t frames_discard(struct handle *h, uint32_t count);

/* Makes the header for a frame of `length` bytes from its columns; false where they contradict the frame. */
bool make_header(const struct handle *handle, uint32_t row, uint32_t length, struct virtio_header *h);
/* Fills a row's columns from a header of `size` bytes. */
void fill_columns(struct pool *t, uint32_t row, const uint8_t *from, uint32_t size);

/* ---- packet.c ---- */

struct packet_request {
  /* in */
  const char *netns;
  char device[IFNAMSIZ];
  bool promiscuous;
  int fanout; /* group and mode << 16, or -1 */
  int buffer;
  /* out */
  int fd, index;
  uint8_t mac[MAC_SIZE];
  struct outcome outcome;
};

enum { PACKET_HEADER = 10 }; /* bytes of a packet socket's virtio-net header */

void packet_open(struct packet_request *request);
/* 0 while the interface exists, else an errno: ENODEV it is gone. */
int packet_check(int fd);
uint32_t packet_read(struct handle *h, uint32_t count);
uint32_t packet_write(struct handle *h, uint32_t count);
uint32_t packet_discard(struct handle *h, uint32_t count);

/* ---- udp.c, udp-send.c, udp-receive.c ---- */

struct udp_request {
  /* in */
  const char *netns;
  int family; /* 4 or 6 */
  uint8_t address[16];
  char device[IFNAMSIZ]; /* "" for any */
  uint16_t port;
  uint32_t count; /* sockets */
  int ttl, buffer;
  bool checksum, zero_checksum, dont_fragment;
  int inner_mtu;
  int inside;           /* 1 VXLAN, 2 GENEVE, 0 something else */
  const uint8_t *group; /* multicast groups, of 16 bytes each */
  uint32_t groups;
  /* in: what is wanted; out: what is to be had */
  bool segment, gro, merge;
  /* out */
  int fd;
  struct udp *udp;
  uint16_t *ports; /* that the sockets are bound to */
  struct outcome outcome;
};

void udp_open(struct udp_request *request);
/* Closes the sockets, all but the first where that belongs to a handle, and gives up the memory. */
void udp_free(struct udp *u, bool all);
/* 0 while the interface exists that the sockets are bound to, if any, else an errno: ENODEV it is gone. */
int udp_check(const struct handle *h);
uint32_t udp_read(struct handle *h, uint32_t count);
uint32_t udp_write(struct handle *h, uint32_t count);
uint32_t udp_discard(struct handle *h, uint32_t count);

/* ---- wait.c ---- */

int waiter_create(void);
int waiter_add(int epoll, int fd);
int waiter_remove(int epoll, int fd);
/* Fills `fds` with those that are in error (the device is gone), and gives how many. */
uint32_t waiter_errors(int epoll, int32_t *fds, uint32_t max);
/* Spins, then sleeps, until a descriptor is readable: true, or the time is up: false. */
bool waiter_idle(int epoll, uint64_t spin_ns, uint64_t sleep_ns);
struct watch *watch_start(napi_env env, int epoll, napi_value callback);
void watch_pause(struct watch *w, bool pause);
void watch_stop(struct watch *w);

/* ---- icmp.c ---- */

struct icmp_request {
  /* in */
  const char *netns;
  int family; /* 4 or 6 */
  uint8_t address[16];
  char device[IFNAMSIZ]; /* "" for any */
  /* out */
  int fd;
  bool raw; /* false: a ping socket, whose identifier the kernel sets */
  struct outcome outcome;
};

void icmp_open(struct icmp_request *request);

#endif
