// Every method of the control connection: the schema of its parameters and of its result.
// docs/contracts/control.md. Imported by the core host only; everyone else takes the types.
import { z } from 'zod'
import { nothing } from './common.ts'
import { subscribed } from './events.ts'
import {
  createdGuest,
  exitRecord,
  guestDetails,
  guestSpec,
  guestSummary,
  killGuest,
  listGuests,
  one,
  removeGuest,
  stopGuest,
} from './guests.ts'
import { checks, hostInfo } from './host.ts'
import {
  checkedRegistry,
  checkRegistry,
  checkStore,
  exportImages,
  imageDetails,
  imageSummary,
  importImage,
  listTags,
  oneImage,
  prunedImages,
  pruneImages,
  pullImage,
  remoteTags,
  removedImage,
  removeImage,
  startedExport,
  storeReport,
  taggedImage,
  tagImage,
  verifiedImage,
  verifyImage,
} from './images.ts'
import { job, leftJob, oneJob, startedImport, startedJob } from './jobs.ts'
import {
  captureTraffic,
  connectPort,
  networkFlow,
  networkList,
  networkStats,
  oneOrAllGuests,
  publishedPorts,
  publishPorts,
} from './network.ts'
import { openedStream, openStream } from './streams.ts'

const done = z.strictObject({})

export const methodSchemas = {
  'host.info': { params: nothing, result: hostInfo },
  'host.check': { params: nothing, result: checks },
  'host.dmesg': { params: nothing, result: z.strictObject({ text: z.string() }) },
  'images.list': { params: nothing, result: z.array(imageSummary) },
  'images.inspect': { params: oneImage, result: imageDetails },
  'images.pull': { params: pullImage, result: startedJob },
  'images.import': { params: importImage, result: startedImport },
  'images.export': { params: exportImages, result: startedExport },
  'images.tag': { params: tagImage, result: taggedImage },
  'images.remove': { params: removeImage, result: removedImage },
  'images.prune': { params: pruneImages, result: prunedImages },
  'images.verify': { params: verifyImage, result: verifiedImage },
  'images.tags': { params: listTags, result: remoteTags },
  'registries.check': { params: checkRegistry, result: checkedRegistry },
  'store.check': { params: checkStore, result: storeReport },
  'guests.create': { params: guestSpec, result: createdGuest },
  'guests.start': { params: one, result: done },
  'guests.stop': { params: stopGuest, result: done },
  'guests.kill': { params: killGuest, result: done },
  'guests.pause': { params: one, result: done },
  'guests.unpause': { params: one, result: done },
  'guests.remove': { params: removeGuest, result: done },
  'guests.list': { params: listGuests, result: z.array(guestSummary) },
  'guests.inspect': { params: one, result: guestDetails },
  'guests.wait': { params: one, result: exitRecord },
  'network.list': { params: nothing, result: networkList },
  'network.stats': { params: oneOrAllGuests, result: networkStats },
  'network.flows': { params: oneOrAllGuests, result: z.array(networkFlow) },
  /** Opens ports of the host into a running guest; all of them or none. */
  'network.publish': { params: publishPorts, result: publishedPorts },
  'network.unpublish': { params: publishPorts, result: done },
  /** A stream of pcapng: what passes on one guest's wire from now on. */
  'network.capture': { params: captureTraffic, result: openedStream },
  /** A stream both ways to a TCP port of a guest, without publishing it. */
  'network.connect': { params: connectPort, result: openedStream },
  'streams.open': { params: openStream, result: openedStream },
  'jobs.list': { params: nothing, result: z.array(job) },
  'jobs.get': { params: oneJob, result: job },
  /** Ends a job, whoever else waits for it. */
  'jobs.cancel': { params: oneJob, result: done },
  /** Gives a job up for the connection that asked for it: it ends when no other has. */
  'jobs.leave': { params: oneJob, result: leftJob },
  'events.subscribe': { params: nothing, result: subscribed },
} as const
