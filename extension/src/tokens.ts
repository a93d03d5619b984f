import { Token } from '@lumino/coreutils';

import type { LabsModel } from './labs/labsModel.ts';
import type { LiveEvents } from './live/liveEvents.ts';

/** State of labs and steps, for other plugins and extensions. */
export const ILabs = new Token<LabsModel>('@dynamo-labs/extension:ILabs', 'Labs, steps, their states, and what can be done with them.');

/** The backend's events. */
export const ILiveEvents = new Token<LiveEvents>('@dynamo-labs/extension:ILiveEvents', 'Live events of labs and cluster.');
