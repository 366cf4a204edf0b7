import { Drop } from '@l2l3/switch-core'
import {
  STATUS_BAD_OFFLOAD,
  STATUS_FRAGMENT,
  STATUS_MALFORMED,
  STATUS_NOT_IP,
  STATUS_OUTSIDE,
  STATUS_RUNT,
} from './native.ts'
import { EAGAIN, EBADF, EBADFD, EINVAL, EIO, EMSGSIZE, ENOBUFS, ENODEV, ENOMEM } from './tap-error.ts'

/*
 * What a frame suffered that could not be written, as a drop reason. The device lives on after most of it; only when it, or
 * the descriptor, is gone does the port fail.
 */

/** The drop reason for a status of `Native.write`; `unfinished` says that the frame had offload metadata. */
export function dropFor(status: number, unfinished: boolean): Drop {
  switch (status) {
    case STATUS_OUTSIDE:
    case EMSGSIZE:
      return Drop.Oversize
    case STATUS_RUNT:
      return Drop.Runt
    case STATUS_BAD_OFFLOAD:
      return Drop.BadOffload
    case STATUS_NOT_IP:
      return Drop.NotIp
    case STATUS_MALFORMED:
      return Drop.Malformed
    case STATUS_FRAGMENT:
      return Drop.OuterFragment
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      return Drop.PortFull
    case EIO:
      return Drop.PortDown
    case EINVAL:
      return unfinished ? Drop.BadOffload : Drop.Malformed
    default:
      return Drop.PortError
  }
}

/** Whether an errno means that the device, or the descriptor, is gone for good. */
export function isGone(errno: number): boolean {
  return errno === EBADFD || errno === EBADF || errno === ENODEV
}
