// The control API as types: what a client may call, with what, and what comes back. Inferred from the
// schemas, which stay with the core host, so that clients start without them.
import type { z } from 'zod'
import type * as events from './schemas/events.ts'
import type * as guests from './schemas/guests.ts'
import type * as host from './schemas/host.ts'
import type * as images from './schemas/images.ts'
import type * as jobs from './schemas/jobs.ts'
import type { methodSchemas } from './schemas/methods.ts'
import type * as network from './schemas/network.ts'
import type * as streams from './schemas/streams.ts'

type Schemas = typeof methodSchemas

export type MethodName = keyof Schemas
/** What a client sends: defaults may be left out. */
export type ParamsOf<M extends MethodName> = z.input<Schemas[M]['params']>
/** What the core host works with after parsing: defaults filled in. */
export type ParsedParamsOf<M extends MethodName> = z.output<Schemas[M]['params']>
export type ResultOf<M extends MethodName> = z.output<Schemas[M]['result']>

export type GuestMode = z.output<typeof guests.guestMode>
export type GuestState = z.output<typeof guests.guestState>
export type GuestSpec = z.output<typeof guests.guestSpec>
export type GuestSummary = z.output<typeof guests.guestSummary>
export type GuestDetails = z.output<typeof guests.guestDetails>
export type ExitReason = z.output<typeof guests.exitReason>
export type ExitRecord = z.output<typeof guests.exitRecord>
export type LaunchStep = z.output<typeof guests.launchStep>
export type ImageSummary = z.output<typeof images.imageSummary>
export type ImageDetails = z.output<typeof images.imageDetails>
export type RunConfig = z.output<typeof images.runConfig>
export type RegistryCredentials = z.output<typeof images.registryCredentials>
export type Job = z.output<typeof jobs.job>
export type JobKind = z.output<typeof jobs.jobKind>
export type JobState = z.output<typeof jobs.jobState>
export type JobProgress = z.output<typeof jobs.jobProgress>
export type ErrorBody = z.output<typeof jobs.errorBody>
export type NetworkSpec = z.output<typeof network.networkSpec>
export type PublishedPort = z.output<typeof network.publishedPort>
export type GuestNetworkDetails = z.output<typeof network.guestNetwork>
export type NetworkList = z.output<typeof network.networkList>
export type NetworkEngineState = z.output<typeof network.networkEngine>
export type NetworkStats = z.output<typeof network.networkStats>
export type NetworkFlow = z.output<typeof network.networkFlow>
export type OpenStream = z.input<typeof streams.openStream>
export type PolicyRule = z.output<typeof network.policyRule>
export type GuestTraffic = z.output<typeof network.guestTraffic>
export type HostInfo = z.output<typeof host.hostInfo>
export type HostCheck = z.output<typeof host.check>
export type CoreEvent = z.output<typeof events.event>
export type EventNotification = z.output<typeof events.eventNotification>
