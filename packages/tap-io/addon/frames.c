/*
 * Batches of frames between a descriptor and the arena of a frame pool, without a copy in between.
 *
 *   read    slot: ...headroom...| virtio-net header (12) | frame ... |      one read() puts both where they belong,
 *                                                        ^ off[row]        the header then fills the columns
 *
 *   write   writev( header on this stack, the frame in the arena )          the arena is not touched: a flooded frame is
 *                                                                           one row that several ports send
 *
 * Whatever the columns say, nothing outside the row's own slot is read or written: row, offset and length are taken into
 * locals once (other threads may write to the columns) and checked there.
 */
#include "tun-tap.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* virtio 1.2, 5.1.6; in native byte order, which is what a TAP speaks unless told otherwise. */
struct virtio_header {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
  uint16_t num_buffers;
};

enum { NEEDS_CSUM = 1, DATA_VALID = 2 };
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_UDP_L4 = 5, GSO_ECN = 0x80 };
enum { ETHERNET_HEADER = 14, IPV4_HEADER = 20 };
enum { MOST_REFUSED = 64 }; /* frames that a call may read and refuse, so that it ends in any case */

#define ONCE(x) (*(volatile const __typeof__(x) *)&(x))

static uint32_t shortest(const struct tap *t) {
  return t->tun ? IPV4_HEADER : ETHERNET_HEADER;
}

/* Reads at most `limit` bytes of frame. The kernel cuts what does not fit without a word, so one byte more than allowed is
 * asked for: when it comes, the frame was longer. */
static ssize_t read_frame(int fd, uint8_t *at, size_t limit, size_t room) {
  if (room > limit) return read(fd, at, limit + 1);
  uint8_t beyond;
  struct iovec parts[2] = {{at, limit}, {&beyond, 1}};
  return readv(fd, parts, 2);
}

static void fill_columns(struct tap *t, uint32_t row, const uint8_t *from) {
  struct virtio_header h;
  memcpy(&h, from, sizeof h);
  t->flags[row] = h.flags & (NEEDS_CSUM | DATA_VALID);
  t->gso_type[row] = h.gso_type;
  t->gso_size[row] = h.gso_size;
  t->hdr_len[row] = h.hdr_len;
  t->csum_start[row] = h.csum_start;
  t->csum_offset[row] = h.csum_offset;
}

/* Fills the rows that stand in `rows` with frames that wait, until there are no more; gives how many were filled. */
uint32_t frames_read(struct handle *handle, uint32_t count) {
  struct tap *t = &handle->tap;
  const uint32_t header = t->vnet ? sizeof(struct virtio_header) : 0;
  uint32_t done = 0, oversize = 0, runt = 0, longest = 0;
  int error = 0;
  if (count > t->capacity) count = t->capacity;
  while (done < count && oversize + runt < MOST_REFUSED) {
    const uint32_t row = ONCE(t->rows[done]);
    if (row >= t->frames) {
      error = EFAULT;
      break;
    }
    const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride;
    const uint64_t start = ONCE(t->off[row]);
    if (start < slot + header || start >= end) {
      error = EFAULT;
      break;
    }
    const uint64_t room = end - start, limit = room < t->frame_size ? room : t->frame_size;
    uint8_t *at = t->bytes + start - header;
    const ssize_t n = read_frame(handle->fd, at, limit + header, room + header);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) error = errno;
      break;
    }
    if ((size_t)n > limit + header) {
      oversize++;
      continue;
    }
    if (n == 0) { /* not a TAP: the end of a file or a pipe, which would be read for ever */
      error = ENODATA;
      break;
    }
    if ((size_t)n < header + shortest(t)) {
      runt++;
      continue;
    }
    const uint32_t length = (uint32_t)n - header;
    t->len[row] = length;
    if (header != 0) fill_columns(t, row, at);
    if (length > longest) longest = length;
    done++;
  }
  t->result[RESULT_ERROR] = error;
  t->result[RESULT_OVERSIZE] = (int32_t)oversize;
  t->result[RESULT_RUNT] = (int32_t)runt;
  t->result[RESULT_LONGEST] = (int32_t)longest;
  return done;
}

/* Reads and forgets up to `count` frames, for which there is no row; gives how many. */
uint32_t frames_discard(struct handle *handle, uint32_t count) {
  struct tap *t = &handle->tap;
  uint8_t scrap[64];
  uint32_t done = 0;
  int error = 0;
  if (count > t->capacity) count = t->capacity;
  while (done < count) {
    const ssize_t n = read(handle->fd, scrap, sizeof scrap);
    if (n > 0) {
      done++;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) error = ENODATA;
    else if (errno != EAGAIN) error = errno;
    break;
  }
  t->result[RESULT_ERROR] = error;
  t->result[RESULT_OVERSIZE] = t->result[RESULT_RUNT] = t->result[RESULT_LONGEST] = 0;
  return done;
}

/* Makes the header for a frame of `length` bytes from its columns; false where they contradict the frame, which the kernel
 * would answer with EINVAL. */
static bool make_header(const struct tap *t, uint32_t row, uint32_t length, struct virtio_header *h) {
  const uint8_t flags = ONCE(t->flags[row]) & (NEEDS_CSUM | DATA_VALID), gso_type = ONCE(t->gso_type[row]);
  memset(h, 0, sizeof *h);
  if ((flags | gso_type) == 0) return true;
  uint32_t headers = 0;
  h->flags = flags;
  if (flags & NEEDS_CSUM) {
    h->csum_start = ONCE(t->csum_start[row]);
    h->csum_offset = ONCE(t->csum_offset[row]);
    headers = (uint32_t)h->csum_start + h->csum_offset + 2;
    if (h->csum_start < shortest(t) || headers > length) return false;
  }
  if (gso_type != GSO_NONE) {
    const uint8_t kind = gso_type & (uint8_t)~GSO_ECN;
    h->gso_type = gso_type;
    h->gso_size = ONCE(t->gso_size[row]);
    if (h->gso_size == 0) return false;
    if (kind != GSO_TCPV4 && kind != GSO_TCPV6 && kind != GSO_UDP_L4) return false;
    if (!(flags & NEEDS_CSUM)) return false; /* segments get new checksums: where, if not there? */
    const uint32_t hint = ONCE(t->hdr_len[row]);
    if (hint > headers) headers = hint;
    h->hdr_len = (uint16_t)(headers > length ? length : headers);
  }
  return true;
}

static int write_frame(int fd, const struct virtio_header *h, uint8_t *at, size_t length) {
  struct iovec parts[2] = {{(void *)h, sizeof *h}, {at, length}};
  ssize_t n;
  do n = h != NULL ? writev(fd, parts, 2) : write(fd, at, length);
  while (n < 0 && errno == EINTR);
  return n < 0 ? errno : 0;
}

/* Writes the frames whose rows stand in `rows`, notes in `result[RESULT_STATUS + i]` what became of each, and gives how
 * many were sent. A queue that is full or a device that is down or gone ends the batch: the rest suffers the same. */
uint32_t frames_write(struct handle *handle, uint32_t count) {
  struct tap *t = &handle->tap;
  int32_t *status = t->result + RESULT_STATUS;
  uint32_t sent = 0;
  int over = 0;
  if (count > t->capacity) count = t->capacity;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t row = ONCE(t->rows[i]);
    if (row >= t->frames) {
      status[i] = STATUS_OUTSIDE;
      continue;
    }
    const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride;
    const uint64_t start = ONCE(t->off[row]), length = ONCE(t->len[row]);
    struct virtio_header header;
    if (start < slot || start > end || length > end - start) status[i] = STATUS_OUTSIDE;
    else if (length < shortest(t)) status[i] = STATUS_RUNT;
    else if (t->vnet && !make_header(t, row, (uint32_t)length, &header)) status[i] = STATUS_BAD_OFFLOAD;
    else if (over != 0) status[i] = over;
    else {
      const int error = write_frame(handle->fd, t->vnet ? &header : NULL, t->bytes + start, length);
      status[i] = error;
      if (error == 0) sent++;
      else if (error == EAGAIN || error == EIO || error == EBADFD || error == EBADF || error == ENODEV) over = error;
    }
  }
  t->result[RESULT_ERROR] = over;
  return sent;
}
