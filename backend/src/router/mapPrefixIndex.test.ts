import { MapPrefixIndex } from './mapPrefixIndex.ts';
import { describePrefixIndex } from './prefixIndexContract.ts';

describePrefixIndex('MapPrefixIndex', () => new MapPrefixIndex());
