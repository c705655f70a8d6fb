"""Words for the classes of PASCAL VOC and COCO, and words that only look like a class.

A longer phrase takes precedence over the words in it, so that a sheep dog is a dog and no sheep. Words that mean
something else as often (plant, crane, cab, pitcher) are left out.
"""

SYNONYMS = {
    "person, people, human": (
        "man, woman, child, boy, girl, kid, lady, gentleman, guy, adult, toddler, infant, teenager, teen, "
        "someone, somebody, crowd, pedestrian, rider, cyclist, biker, motorcyclist, jockey, cowboy, cowgirl, "
        "surfer, skier, snowboarder, skateboarder, skater, swimmer, player, umpire, athlete, worker, farmer, "
        "shepherd, soldier, officer, policeman, policewoman, fireman, fisherman, student, teacher, chef, waiter, "
        "waitress, driver, passenger, tourist, bride, baby, grandmother, grandfather, husband, wife, daughter"
    ),
    "aeroplane, airplane": "plane, jet, airliner, biplane, jetliner, aircraft, fighter jet, jumbo jet, seaplane",
    "bicycle": "bike, mountain bike, tandem bike, bicyclist",
    "bird": (
        "seagull, gull, pigeon, parrot, parakeet, eagle, owl, hawk, heron, swan, duck, duckling, goose, penguin, "
        "ostrich, sparrow, robin, crow, flamingo, pelican, peacock, dove, rooster, hen, hummingbird, woodpecker, "
        "baby bird"
    ),
    "boat": (
        "sailboat, rowboat, speedboat, motorboat, ship, yacht, canoe, kayak, ferry, dinghy, catamaran, "
        "sailing boat, rowing boat, house boat, tug boat"
    ),
    "bottle": "water bottle, wine bottle, beer bottle",
    "bus": "minibus, double decker, school bus",
    "car": "automobile, sedan, suv, minivan, van, jeep, taxi, limousine, hatchback, station wagon",
    "cat": "kitten, kitty, tabby, tomcat, feline, baby cat",
    "chair": "armchair, deckchair, recliner",
    "cow": "bull, calf, cattle, ox, heifer, bovine, baby cow, baby calf",
    "diningtable, dining table": "table, dinner table, dining room table, kitchen table",
    "dog": (
        "puppy, pup, doggy, doggie, hound, canine, terrier, poodle, labrador, retriever, collie, bulldog, "
        "beagle, dachshund, corgi, chihuahua, dalmatian, greyhound, spaniel, pug, rottweiler, mastiff, "
        "schnauzer, husky, german shepherd, sheep dog, cattle dog, bull dog, bull terrier, pit bull, "
        "baby dog"
    ),
    "horse": "pony, foal, mare, stallion, colt, racehorse, horseback, baby horse",
    "motorbike, motorcycle": "moped, scooter, motor scooter, dirt bike, quad bike",
    "pottedplant, potted plant": (
        "house plant, pot plant, potted flower, potted tree, plant in a pot, plants in pots"
    ),
    "sheep": "lamb, ewe, ram, baby sheep",
    "sofa, couch": "settee, loveseat, love seat, sofa bed",
    "train": "locomotive, steam engine, train car, subway train",
    "tvmonitor, tv, television": (
        "monitor, computer monitor, tv monitor, tv screen, television screen, tv set, computer screen, "
        "flat screen, flatscreen"
    ),
    "cell phone, mobile phone": "cellphone, smartphone, iphone",
    "refrigerator, fridge": "",
    "laptop": "laptop computer, notebook computer",
    "elephant": "baby elephant",
    "giraffe": "baby giraffe",
    "zebra": "baby zebra",
    "bear": "baby bear, bear cub",
    "goat": "baby goat",
}
"""Words for a class under any of its names, in singular, with ``, `` between. Used where the class is there."""

LOOKALIKES = {
    "diningtable, dining table": (
        "coffee table, side table, end table, bedside table, picnic table, pool table, billiard table, "
        "dressing table, changing table, operating table"
    ),
    "": (
        "toy train, toy car, toy boat, toy bus, toy plane, toy airplane, toy horse, model train, model car, "
        "model plane, model airplane, "
        "hot dog, corn dog, chili dog, prairie dog, dog food, dog bowl, dog house, dog bed, dog park, dog tag, "
        "cat food, cat litter, kitty litter, cat bed, cat fish, cat tail, cat walk, sea horse, rocking horse, "
        "carousel horse, saw horse, horse shoe, horse fly, horse radish, cow bell, cowboy hat, cowboy boot, "
        "cow hide, bull horn, bulls eye, bull dozer, sheep skin, lamb chop, rack of lamb, battering ram, "
        "dodge ram, bird feeder, bird house, bird bath, bird seed, bird cage, bird nest, birds nest, "
        "bird eye view, birds eye view, rubber duck, duck tape, baby animal, baby carriage, baby stroller, "
        "baby carrot, car park, car wash, car seat, cable car, trolley car, street car, dining car, car alarm, "
        "car key, van gogh, moving van, bus stop, bus station, bus shelter, bus lane, bus ticket, train station, "
        "train track, train platform, train set, bike rack, bicycle rack, bike lane, bicycle lane, bike path, "
        "bicycle path, bike helmet, bicycle helmet, exercise bike, kick scooter, push scooter, jet ski, "
        "jet engine, plane tree, boat house, boat dock, boat ramp, gravy boat, boat shoe, ship yard, "
        "bottle opener, bottle cap, bottle rack, chair lift, wheel chair, couch potato, table tennis, "
        "table cloth, table spoon, table lamp, tv show, tv remote, tv stand, television show, television remote, "
        "tv dinner, tv tower, baby monitor, screw driver, mouse pad, teddy bear, gummy bear, man hole, snow man, "
        "ginger bread man, record player, cd player, dvd player, mp3 player, music player"
    ),
}
"""Phrases that hold a word for a class and are something else, unless a class has that name itself.

They count where the class that they stand behind is there; the last ones always do.
"""
